import { pullScope, repositoryPath, type Check, type Context } from './check.ts';
import { isSafeUrl } from './destinations.ts';
import { errorCode, fail, shown, SmokeFailure } from './failure.ts';
import { isRedirect } from './http.ts';
import type { Reply } from './messages.ts';
import { cancelUpload, startUpload } from './push.ts';
import { readChallenge } from './session.ts';

/** What gateways and proxies do to requests without large bodies. */
export const gatewayChecks: readonly Check[] = [
  { name: 'base', title: 'GET /v2/ is answered by a registry', needs: [], run: base },
  { name: 'challenge', title: 'WWW-Authenticate comes under its own name', needs: ['base'], run: challenge },
  { name: 'login', title: 'login', needs: ['challenge'], run: login },
  { name: 'slashes', title: 'slashes at the end of paths are kept', needs: ['login'], run: slashes },
  {
    name: 'headers',
    title: '10,240 bytes of request line and headers pass',
    needs: ['login'],
    run: longHeaders,
  },
  { name: 'errors', title: 'errors are those of a registry', needs: ['login'], run: errors },
];

/** Last of all: URLs that any check has come across. */
export const httpsCheck: Check = {
  name: 'https',
  title: 'the registry points at https everywhere',
  needs: ['base'],
  run: onlyHttps,
};

async function base({ session }: Context): Promise<undefined> {
  const reply = await session.send({ method: 'GET', url: session.url('/v2/') });
  if (isRedirect(reply))
    fail(
      reply,
      `${reply.status} to ${reply.headers.location ?? 'nowhere'}`,
      'No proxy may redirect /v2/: clients expect 200 or 401 there',
    );
  if (reply.status !== 200 && reply.status !== 401)
    fail(
      reply,
      shown(reply),
      'Clients expect 200 or 401 there. Check the URL, and that the proxy or gateway passes /v2/ to the registry',
    );
  return undefined;
}

async function challenge({ session, pointers }: Context): Promise<string> {
  const reply = await session.send({ method: 'GET', url: session.url('/v2/') });
  if (reply.status === 200) return 'the registry asks for no login';
  session.challenge = readChallenge(reply, session.base);
  const { realm } = session.challenge;
  if (realm !== undefined) pointers.set(`realm of ${reply.asked}`, realm);
  return realm === undefined ? 'Basic' : `Bearer, tokens from ${realm.origin}${realm.pathname}`;
}

async function login({ session }: Context): Promise<string> {
  if (session.challenge === undefined) return 'none needed';
  if (session.credentials === undefined)
    throw new SmokeFailure({
      asked: `GET ${session.url('/v2/').href}`,
      came: '401, and no user was given',
      change:
        'Give --user NAME and the password on standard input or in STOWAGE_PASSWORD, or run docker login first',
    });
  const reply = await session.ask('', '/v2/', { method: 'GET' });
  if (reply.status !== 200)
    fail(
      reply,
      shown(reply),
      'Check the user and the password; a gateway must pass the header Authorization to the registry',
    );
  const { credentials } = session;
  const [who, what] =
    'user' in credentials ? [`as ${credentials.user}`, 'password'] : ['by an identity token', 'token'];
  const { realm } = session.challenge;
  const isElsewhere = realm !== undefined && realm.host !== session.base.host;
  return isElsewhere ? `${who}; the ${what} was sent to ${realm.host}` : who;
}

/** All clients send the slash of `blobs/uploads/`, and some proxies remove it. */
async function slashes(context: Context): Promise<undefined> {
  await cancelUpload(context, await startUpload(context));
  return undefined;
}

/** Bytes that API Gateway takes of a request's line and headers together, less some that a client cannot count. */
const maxHeaders = 10_240 - 240;

/** Tokens for many repositories are long. */
async function longHeaders(context: Context): Promise<undefined> {
  const { session } = context;
  const authorization = (await session.authorization(pullScope(context)))['authorization'] ?? '';
  const path = repositoryPath(context, 'tags/list');
  const taken = path.length + authorization.length + session.base.host.length + 200;
  const headers = { 'x-stowage-smoke': 'x'.repeat(Math.max(0, maxHeaders - taken)) };
  const plain = await session.ask(pullScope(context), path, { method: 'GET' });
  const reply = await session.ask(pullScope(context), path, { method: 'GET', headers });
  if (reply.status !== plain.status)
    fail(
      { ...reply, asked: `${reply.asked} with ${maxHeaders} bytes of headers` },
      shown(reply),
      'Let the proxy take 10,240 bytes of headers, as API Gateway does: tokens for many repositories are long (nginx: large_client_header_buffers)',
    );
  return undefined;
}

async function errors(context: Context): Promise<undefined> {
  const path = repositoryPath(context, `manifests/no-such-tag-${context.run}`);
  const reply = await context.session.ask(pullScope(context), path, { method: 'GET' });
  if (reply.status !== 404 || errorCode(reply) === undefined || !isJson(reply))
    fail(
      reply,
      `${shown(reply)}, as ${reply.headers['content-type'] ?? 'no type'}`,
      'A missing manifest is 404 with {"errors":[…]} as application/json: proxies must pass errors of the registry as they are',
    );
  return undefined;
}

function isJson({ headers }: Reply): boolean {
  return /^application\/json\b/.test(headers['content-type'] ?? '');
}

// eslint-disable-next-line @typescript-eslint/require-await -- as all checks are
async function onlyHttps({ session, pointers }: Context): Promise<string> {
  for (const [what, url] of pointers)
    if (!isSafeUrl(url, session.base))
      throw new SmokeFailure({
        asked: what,
        came: `${url.origin}${url.pathname}`,
        change:
          'Set REGISTRY_HTTP_HOST (and REGISTRY_HTTP_DATAPLANE) to https URLs; a proxy that ends TLS must send X-Forwarded-Proto',
      });
  return session.base.protocol === 'http:' ? 'this machine, so http may be' : `${pointers.size} URLs`;
}
