/** What the log of a server says of each request. */
import assert from 'node:assert/strict';
import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import { tagLink } from '../../lib/registry/layout.ts';
import { line as userLine, right as password } from '../access/htpasswd/lines.ts';
import { Client, send, someName, type Ask } from '../functions/client.ts';
import { proxiedSwift, type ProxiedSwift } from '../servers/proxied-swift.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { requires } from '../servers/requires.ts';
import { serve, type Stowage } from '../servers/stowage.ts';

const folder = await temporaryFolder('infra-request-log');

after(() => {
  folder.remove();
});

type Line = Readonly<Record<string, unknown>>;

/** The lines of a log, without what is for people. */
const linesOf = (output: string): Line[] =>
  output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Line);

/** The first line of the log that has this, as soon as it is there. */
async function lineWith(registry: Stowage, has: (line: Line) => boolean): Promise<Line> {
  for (let tries = 0; tries < 200; tries++) {
    const found = linesOf(registry.output()).find(has);
    if (found !== undefined) return found;
    await delay(20);
  }
  throw new Error(registry.output());
}

describe('the log of a server behind a trusted proxy', () => {
  let registry: Stowage;
  let client: Client;
  const user = { 'user-agent': 'docker/29.1.1', 'x-forwarded-for': '192.0.2.9, 192.0.2.1' };

  before(async () => {
    registry = await serve(join(folder.path, 'images'), {
      REGISTRY_HTTP_TRUSTEDPROXIES: '127.0.0.0/8',
      REGISTRY_LOG_FIELDS: '{"environment": "staging"}',
      REGISTRY_HEALTH_HTTP:
        '[{"uri": "http://127.0.0.1:1/?key=a-secret-of-a-check", "headers": {"Authorization": ["Bearer a-secret-of-a-check"]}}]',
    });
    client = new Client(`http://${registry.address}`);
  });

  after(async () => {
    await registry.stop();
  });

  /** Sends a request. @returns its response, and its line */
  const logged = async (ask: Ask) => {
    const reply = await client.send({ ...ask, headers: { ...user, ...ask.headers } });
    const id = reply.headers['x-request-id'];
    return {
      reply,
      line: await lineWith(registry, (line) => line['msg'] === 'request' && line['id'] === id),
    };
  };

  it('begins with version, store and what is on', () => {
    const [first] = linesOf(registry.output());
    const { time, version, ...rest } = first ?? {};
    assert.match(String(time), /^\d{4}-\d\d-\d\dT/);
    assert.match(String(version), /^\d+\.\d+\.\d+/);
    assert.deepEqual(rest, {
      level: 'info',
      environment: 'staging',
      program: 'server',
      storage: join(folder.path, 'images'),
      auth: 'none',
      list: 'bucket',
      on: ['deletes', 'trusted proxies', 'storage probe', 'other checks'],
      msg: 'stowage starts',
    });
  });

  it('has a line for a push, with its bytes and bucket requests', async () => {
    const [name, body] = [someName(), Buffer.alloc(1_000)];
    const path = `/v2/${name}/blobs/uploads/`;
    const start = await logged({ method: 'POST', path });
    assert.equal(start.reply.status, 202);
    const location = new URL(String(start.reply.headers.location), client.base);
    const { line } = await logged({ method: 'PATCH', path: location.pathname + location.search, body });
    const { time, milliseconds, bucketRequests, id, ...rest } = line;
    assert.ok(Number(milliseconds) >= 0 && Number(bucketRequests) > 0, JSON.stringify(line));
    assert.match(String(id), /^[0-9a-f-]{36}$/);
    assert.ok(time !== undefined);
    assert.deepEqual(rest, {
      level: 'info',
      environment: 'staging',
      address: '192.0.2.1',
      agent: 'docker/29.1.1',
      method: 'PATCH',
      path: location.pathname,
      repository: name,
      status: 202,
      received: 1_000,
      sent: 0,
      msg: 'request',
    });
  });

  it('has the code of an error response, and its bytes', async () => {
    const { reply, line } = await logged({ method: 'GET', path: '/v2/team/none/manifests/v1' });
    assert.deepEqual(
      [line['status'], line['code'], line['sent']],
      [404, 'MANIFEST_UNKNOWN', reply.body.length],
    );
  });

  it('takes the id of a trusted proxy if it is harmless', async () => {
    const { reply } = await logged({ method: 'GET', path: '/v2/', headers: { 'x-request-id': 'proxy-1' } });
    assert.equal(reply.headers['x-request-id'], 'proxy-1');
    const other = await logged({ method: 'GET', path: '/v2/', headers: { 'x-request-id': 'a "b"' } });
    assert.match(String(other.reply.headers['x-request-id']), /^[0-9a-f-]{36}$/);
  });

  it('has the same id in all lines of a request', async () => {
    const name = someName();
    const { digest } = await client.pushImage(name, 'v1');
    await client.pushImage(name, 'bad');
    const link = tagLink(parseRepositoryName(name), parseTag('bad'));
    truncateSync(join(folder.path, 'images', link), 0);
    const { reply } = await logged({ method: 'DELETE', path: `/v2/${name}/manifests/${digest}` });
    const warning = await lineWith(registry, ({ msg }) => String(msg).includes(`skipped ${link}`));
    assert.deepEqual([warning['level'], warning['id']], ['warn', reply.headers['x-request-id']]);
  });

  it('has no lines for probes, but one when a check fails, without secrets of the check', async () => {
    for (const path of ['/', '/livez', '/readyz']) await client.send({ method: 'GET', path });
    const line = await lineWith(registry, ({ check }) => check === 'http check 1');
    assert.equal(line['level'], 'warn');
    await logged({ method: 'GET', path: '/v2/' });
    const paths = linesOf(registry.output()).map(({ path }) => path);
    for (const path of ['/', '/livez', '/readyz']) assert.ok(!paths.includes(path), path);
    assert.doesNotMatch(registry.output(), /a-secret-of-a-check/);
  });

  it('marks a response that the client did not wait for', async () => {
    const name = someName();
    const digest = await client.pushBlob(name, Buffer.alloc(20_000_000));
    const controller = new AbortController();
    const url = `${client.base}/v2/${name}/blobs/${digest}`;
    const response = await fetch(url, { signal: controller.signal });
    controller.abort();
    const id = response.headers.get('x-request-id');
    const line = await lineWith(registry, (one) => one['id'] === id);
    assert.equal(line['cut'], true);
    assert.ok(Number(line['sent']) < 20_000_000, JSON.stringify(line));
  });
});

describe('the log of a server with users', () => {
  it('names the user of a request, and nobody whose password is wrong', async () => {
    const registry = await serve(join(folder.path, 'users'), {
      REGISTRY_AUTH: 'htpasswd',
      REGISTRY_AUTH_HTPASSWD_CONTENT: userLine('alice'),
    });
    const as = async (password: string) => {
      const authorization = `Basic ${Buffer.from(`alice:${password}`).toString('base64')}`;
      const ask = { method: 'GET', path: '/v2/', headers: { authorization } };
      const { headers } = await send(`http://${registry.address}`, ask);
      return await lineWith(registry, (line) => line['id'] === headers['x-request-id']);
    };
    const [right, wrong] = [await as(password), await as('wrong')];
    await registry.stop();
    assert.deepEqual([right['status'], right['actor']], [200, 'alice']);
    assert.deepEqual([wrong['status'], wrong['actor']], [401, undefined]);
    assert.ok(!registry.output().includes(password));
  });
});

describe('the log of a server whose bucket fails', requires('swift-proxy-server'), () => {
  let bucket: ProxiedSwift;
  let registry: Stowage;

  before(async () => {
    bucket = await proxiedSwift();
    registry = await serve(bucket.settings);
  });

  after(async () => {
    await registry.stop();
    await bucket.stop();
  });

  it('has an error with the cause, and the line of the request, under one id', async () => {
    bucket.proxy.intercept = () => ({ status: 403, code: 'AccessDenied' });
    const path = '/v2/team/app/manifests/v1';
    const { status, headers } = await send(`http://${registry.address}`, { method: 'GET', path });
    await lineWith(registry, (line) => line['msg'] === 'request' && line['path'] === path);
    const [error, request, ...more] = linesOf(registry.output()).filter(
      ({ id }) => id === headers['x-request-id'],
    );
    assert.equal(status, 503);
    assert.deepEqual(
      [error?.['level'], error?.['msg'], error?.['path']],
      ['error', 'a request failed', path],
    );
    assert.match(JSON.stringify(error?.['err']), /access denied|AccessDenied/);
    assert.deepEqual([request?.['msg'], request?.['status']], ['request', 503]);
    assert.deepEqual(more, []);
  });
});

describe('the log of a server', () => {
  const start = async (settings: Record<string, string>) =>
    await serve(join(folder.path, 'others'), settings);
  const get = async (registry: Stowage, headers: Record<string, string> = {}) =>
    await send(`http://${registry.address}`, { method: 'GET', path: '/v2/team/none/tags/list', headers });

  it('is name=value pairs if it is to be text', async () => {
    const registry = await start({ REGISTRY_LOG_FORMATTER: 'text' });
    await get(registry, { 'user-agent': 'a "b"' });
    await registry.stop();
    assert.match(registry.output(), /^time=\S+ level=info msg="stowage starts" version=/m);
    assert.match(
      registry.output(),
      /^time=\S+ level=info msg=request id=\S+ address=127\.0\.0\.1 agent="a \\"b\\"" method=GET path=\/v2\/team\/none\/tags\/list repository=team\/none status=404 code=NAME_UNKNOWN /m,
    );
  });

  it('has no lines of requests if they are disabled', async () => {
    const registry = await start({ REGISTRY_LOG_ACCESSLOG_DISABLED: 'true' });
    await get(registry);
    await registry.stop();
    assert.deepEqual(
      linesOf(registry.output()).map(({ msg }) => msg),
      ['stowage starts'],
    );
  });

  it('takes neither address nor id from a client that is no trusted proxy', async () => {
    const registry = await start({});
    const { headers } = await get(registry, { 'x-forwarded-for': '192.0.2.1', 'x-request-id': 'forged' });
    await registry.stop();
    assert.notEqual(headers['x-request-id'], 'forged');
    assert.match(registry.output(), /"address":"127\.0\.0\.1"/);
    assert.doesNotMatch(registry.output(), /forged|192\.0\.2\.1/);
  });
});
