import { locationOf, pushScope, repositoryPath, type Context } from './check.ts';
import type { Blob } from './content.ts';
import { errorCode, fail, shown } from './failure.ts';
import { isRedirect } from './http.ts';
import type { Ask, Reply } from './messages.ts';

/*
 * Pushes of a blob as clients send them: docker without the length of the body, containerd in one PUT, oras in one PUT at the
 * host and port where it began, to which it sends its credentials again.
 */

export type Client = 'docker' | 'containerd' | 'oras';

/** @throws SmokeFailure */
export async function pushBlob(context: Context, client: Client, blob: Blob): Promise<void> {
  const location = await startUpload(context);
  try {
    await pushers[client](context, location, blob);
  } catch (error) {
    await cancelUpload(context, location);
    throw error;
  }
}

const pushers: Readonly<Record<Client, (context: Context, location: URL, blob: Blob) => Promise<void>>> = {
  docker: async (context, location, blob) => {
    const { bytes } = blob;
    const patch = { method: 'PATCH', url: location, headers: octets, body: bytes, chunked: true };
    const reply = await sendUpload(context, patch);
    if (reply.status !== 202) failUpload(reply);
    const next = locationOf(context, reply);
    const { range } = reply.headers;
    if (next === undefined || range !== `0-${bytes.length - 1}`)
      fail(
        reply,
        `202 with Location: ${next === undefined ? 'none' : 'a URL'}, Range: ${range ?? 'none'} (of 0-${bytes.length - 1})`,
        'A proxy must pass Location and Range of responses, and the whole body of requests',
      );
    await commit(context, next, blob);
  },
  containerd: async (context, location, blob) => {
    assertCreated(await putBlob(context, location, blob));
  },
  oras: async (context, location, blob) => {
    const { base } = context.session;
    if (location.host !== base.host)
      fail(
        { ...emptyReply, asked: `POST ${base.origin}${repositoryPath(context, 'blobs/uploads/')}` },
        `a Location at another host or port: ${location.origin}`,
        'oras and helm push only where they began: put both planes behind one address (docs/functions.md#one-address-for-both-planes)',
      );
    assertCreated(await putBlob(context, location, blob));
  },
};

/** Sends a blob in one request. */
export async function putBlob(context: Context, location: URL, { bytes, digest }: Blob): Promise<Reply> {
  const put = { method: 'PUT', url: withDigest(location, digest), headers: octets, body: bytes };
  return await sendUpload(context, put);
}

const octets = { 'content-type': 'application/octet-stream' };
const emptyReply = { status: 202, headers: {}, body: Buffer.alloc(0), url: new URL('https://localhost') };

/** Sends chunks with their ranges, as regctl does. */
export async function pushChunks(context: Context, { bytes, digest }: Blob, size: number): Promise<void> {
  let location = await startUpload(context);
  for (let start = 0; start < bytes.length; start += size) {
    const body = bytes.subarray(start, start + size);
    const range = `${start}-${start + body.length - 1}`;
    const headers = { ...octets, 'content-range': range };
    const reply = await sendUpload(context, { method: 'PATCH', url: location, headers, body });
    const next = locationOf(context, reply);
    if (reply.status !== 202 || next === undefined) failUpload(reply);
    location = next;
  }
  await commit(context, location, { bytes, digest });
}

/** @returns its Location @throws SmokeFailure */
export async function startUpload(context: Context): Promise<URL> {
  const path = repositoryPath(context, 'blobs/uploads/');
  const reply = await context.session.ask(pushScope(context), path, { method: 'POST' });
  const location = locationOf(context, reply);
  if (reply.status === 202 && location !== undefined) return location;
  if (reply.status === 202) fail(reply, '202 without a Location', 'A proxy must pass the header Location');
  failUpload(reply);
}

async function commit(context: Context, location: URL, { digest }: Blob): Promise<void> {
  assertCreated(await sendUpload(context, { method: 'PUT', url: withDigest(location, digest) }));
}

function withDigest(location: URL, digest: string): URL {
  const url = new URL(location);
  url.searchParams.set('digest', digest);
  return url;
}

/** Another host gets no credentials: what may be done there is in the URL. */
async function sendUpload(context: Context, ask: Ask): Promise<Reply> {
  const isHere = ask.url.host === context.session.base.host;
  const authorization = isHere ? await context.session.authorization(pushScope(context)) : {};
  return await context.session.send({ ...ask, headers: { ...ask.headers, ...authorization } });
}

/** Ends an upload that is not needed. Whether that works is not what is checked. */
export async function cancelUpload(context: Context, location: URL): Promise<void> {
  await sendUpload(context, { method: 'DELETE', url: location }).catch(() => undefined);
}

function assertCreated(reply: Reply): void {
  if (reply.status !== 201) failUpload(reply);
}

/** @throws SmokeFailure which says what breaks uploads with such a status */
function failUpload(reply: Reply): never {
  fail(reply, shown(reply), changeFor(reply));
}

function changeFor(reply: Reply): string {
  const { status } = reply;
  const code = errorCode(reply);
  if (isRedirect(reply))
    return 'Clients do not send a body again to where a redirect points: no proxy may redirect uploads, not even to add or remove a slash';
  if (code === 'DIGEST_INVALID')
    return 'The bytes were changed on the way: a gateway must pass bodies as binary, and a proxy must not compress or convert them';
  if (status === 411)
    return 'docker does not announce the length of layers: the proxy must pass chunked bodies';
  if (status === 413)
    return 'Something limits the size of bodies: API Gateway takes 10 MB, Lambda about 4.4 MiB, nginx what client_max_body_size says. Larger layers need a data plane (docs/functions.md#when-you-need-a-data-plane); where there is none, run this with --no-large';
  if (status === 401 || status === 403)
    return 'The user needs the right to push there; a proxy must pass the header Authorization';
  if (status === 404)
    return 'A proxy must pass paths and queries as they are, with the slash at the end of blobs/uploads/ and with _state; uploads in progress must reach the data plane';
  if ([408, 502, 503, 504].includes(status))
    return 'Something gave up: proxies must wait for slow pushes, and the log of the registry or its gateway says what failed';
  return 'The log of the registry says why';
}
