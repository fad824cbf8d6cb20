import { pullScope, repositoryPath, type Check, type Context } from './check.ts';
import { digestOf, manifestType, type Blob } from './content.ts';
import { fail, shown } from './failure.ts';
import type { Ask, Reply } from './messages.ts';
import { config, imageOf, mebibyte, small, tagOf } from './layers.ts';

/** Pulls of what the checks of pushes have pushed. */
export const pullChecks: readonly Check[] = [
  {
    name: 'head-manifest',
    title: 'HEAD of a manifest has its length, type and digest',
    needs: ['push-image'],
    run: headManifest,
  },
  { name: 'head-blob', title: 'HEAD of a layer has its length', needs: ['push-docker'], run: headBlob },
  { name: 'pull-image', title: 'pull the manifest and its layers', needs: ['push-image'], run: pullImage },
  { name: 'range', title: 'a part of a layer can be pulled by Range', needs: ['push-docker'], run: range },
];

async function headManifest(context: Context): Promise<undefined> {
  const { bytes, digest } = imageOf(context);
  const reply = await read(context, { method: 'HEAD' }, `manifests/${tagOf(context)}`);
  assertLength(reply, bytes.length);
  const { 'content-type': type, 'docker-content-digest': named } = reply.headers;
  if (type !== manifestType || named !== digest)
    fail(
      reply,
      `200 with Content-Type: ${type ?? 'none'}, Docker-Content-Digest: ${String(named ?? 'none')}`,
      `Proxies must pass both headers as they are; the type is ${manifestType}`,
    );
  return undefined;
}

async function headBlob(context: Context): Promise<undefined> {
  const { bytes, digest } = small.docker;
  assertLength(await read(context, { method: 'HEAD' }, `blobs/${digest}`), bytes.length);
  return undefined;
}

function assertLength(reply: Reply, length: number): void {
  const given = reply.headers['content-length'];
  if (reply.status === 200 && given === String(length)) return;
  fail(
    reply,
    reply.status === 200 ? `200 with Content-Length: ${given ?? 'none'} instead of ${length}` : shown(reply),
    'podman, oras and crane need the length. A proxy must pass Content-Length of answers to HEAD; docs/functions.md#headers-that-a-gateway-may-change says how to restore it on AWS',
  );
}

async function pullImage(context: Context): Promise<string> {
  const image = imageOf(context);
  for (const reference of [tagOf(context), image.digest]) {
    const headers = { accept: `${manifestType}, application/vnd.oci.image.index.v1+json` };
    const reply = await read(context, { method: 'GET', headers }, `manifests/${reference}`);
    assertBytes(reply, image);
  }
  const origins = new Set<string>();
  for (const blob of [config, ...Object.values(small)]) origins.add((await pullBlob(context, blob)).origin);
  return `layers come from ${[...origins].join(', ')}`;
}

/** @returns where it came from @throws SmokeFailure */
export async function pullBlob(context: Context, blob: Blob): Promise<URL> {
  // As containerd does. Whoever compresses for it changes the bytes.
  const headers = { 'accept-encoding': 'zstd, gzip, deflate' };
  const ask = { method: 'GET', headers, large: blob.bytes.length > mebibyte };
  const reply = await read(context, ask, `blobs/${blob.digest}`);
  assertBytes(reply, blob);
  return reply.url;
}

function assertBytes(reply: Reply, { bytes, digest }: Blob): void {
  if (reply.status !== 200)
    fail(
      reply,
      shown(reply),
      reply.status === 400 && reply.url.search !== ''
        ? 'Clients send no credentials to another host; here something adds them, or changes the signed URL'
        : 'Clients must be able to reach where redirects lead, without credentials; the log there says why it refuses',
    );
  if (digestOf(reply.body) === digest) return;
  const encoding = reply.headers['content-encoding'];
  fail(
    reply,
    `${reply.body.length} other bytes than the ${bytes.length} that were pushed${encoding === undefined ? '' : `, with Content-Encoding: ${encoding}`}`,
    'A gateway must pass bodies as binary, and a proxy must not compress or convert them',
  );
}

async function range(context: Context): Promise<undefined> {
  const { bytes, digest } = small.docker;
  const [first, last] = [1000, 1999];
  const ask = { method: 'GET', headers: { range: `bytes=${first}-${last}` } };
  const reply = await read(context, ask, `blobs/${digest}`);
  const isPart =
    reply.headers['content-range'] === `bytes ${first}-${last}/${bytes.length}` &&
    reply.body.equals(bytes.subarray(first, last + 1));
  if (reply.status !== 206 || !isPart)
    fail(
      { ...reply, asked: `${reply.asked} with Range: bytes=${first}-${last}` },
      `${reply.status} with ${reply.body.length} bytes and Content-Range: ${reply.headers['content-range'] ?? 'none'}`,
      'A proxy must pass Range of requests, and Content-Range of responses: clients resume pulls by it',
    );
  return undefined;
}

/** Reads from the registry as clients do, and notes where it points. */
async function read(context: Context, ask: Omit<Ask, 'url'>, rest: string): Promise<Reply> {
  const { session, pointers } = context;
  const headers = { ...ask.headers, ...(await session.authorization(pullScope(context))) };
  const url = session.url(repositoryPath(context, rest));
  return await session.sendFollowing({ ...ask, url, headers }, (target) => {
    pointers.set(`redirect of ${ask.method} ${url.origin}${url.pathname}`, target);
  });
}
