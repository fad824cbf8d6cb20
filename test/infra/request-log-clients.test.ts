/** What the log says of clients that leave, and of what they send to harm whoever reads it. */
import assert from 'node:assert/strict';
import { constants } from 'node:http2';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '../functions/client.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { answerOf, ask, openForCancel, openSession } from './http2-client.ts';
import { dial, head, pathOf, rest } from './raw-http.ts';

type Line = Readonly<Record<string, unknown>>;

/** The first line of the log that has this, as soon as it is there. */
async function lineWith(registry: Stowage, has: (line: Line) => boolean): Promise<Line> {
  for (let tries = 0; tries < 200; tries++) {
    const lines = registry.output().split('\n');
    const found = lines
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Line)
      .find(has);
    if (found !== undefined) return found;
    await delay(20);
  }
  throw new Error(registry.output());
}

describe('the log of a server that speaks HTTP/1.1 and HTTP/2', () => {
  let folder: Folder;
  let registry: Stowage;
  let url: string;
  let debug: string;

  before(async () => {
    folder = await temporaryFolder('request-log-clients');
    debug = `127.0.0.1:${await freePort()}`;
    registry = await serve(folder.path, {
      REGISTRY_HTTP_H2C_ENABLED: 'true',
      REGISTRY_HTTP_DEBUG_ADDR: debug,
      REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: 'true',
    });
    url = `http://${registry.address}`;
  });

  after(async () => {
    await registry.kill();
    folder.remove();
  });

  it('has 499 for a request of HTTP/1.1 whose client did not wait for a response', async () => {
    const location = pathOf(await new Client(url).startUpload('team/left'));
    const socket = await dial(url);
    socket.write(`${head('PATCH', location, 'Content-Length: 8')}some`);
    await delay(300);
    socket.destroy();
    const line = await lineWith(registry, ({ method }) => method === 'PATCH');
    assert.deepEqual([line['status'], line['cut'], line['received']], [499, true, 4]);
    const metrics = await (await fetch(`http://${debug}/metrics`)).text();
    assert.match(metrics, /^registry_http_requests_total\{[^}]*code="499"[^}]*\} 1$/m);
  });

  it('has 499 for a request of HTTP/2 that its client cancelled', async () => {
    const session = await openSession(url);
    const begun = await ask(session, 'POST', '/v2/team/cancelled/blobs/uploads/');
    const stream = openForCancel(session, 'PATCH', begun.headers.location ?? '');
    stream.write('some');
    await delay(300);
    stream.close(constants.NGHTTP2_CANCEL);
    const isIt = ({ method, repository }: Line) => method === 'PATCH' && repository === 'team/cancelled';
    const line = await lineWith(registry, isIt);
    assert.deepEqual([line['status'], line['cut']], [499, true]);
    for (const method of ['GET', 'HEAD']) {
      await ask(session, method, `/v2/team/${method.toLowerCase()}/manifests/v1`);
      const other = await lineWith(registry, ({ path }) => String(path).includes(method.toLowerCase()));
      assert.deepEqual([other['status'], other['cut']], [404, undefined]);
    }
    session.destroy();
  });

  it('escapes what a terminal would obey', async () => {
    const socket = await dial(url);
    const answer = rest(socket);
    // Control Sequence Introducer (CSI), in one byte.
    const request = head('GET', '/v2/team/hostile/tags/list', 'User-Agent: \u009b31m', 'Connection: close');
    socket.write(Buffer.from(request, 'latin1'));
    await answer;
    const line = await lineWith(registry, ({ repository }) => repository === 'team/hostile');
    assert.equal(line['agent'], '\u009b31m');
    assert.doesNotMatch(registry.output(), /[\u0080-\u009f]/);
    assert.match(registry.output(), /\\u009b31m/);
  });

  it('has no line for a password in the URL of a request', async () => {
    const session = await openSession(url);
    const stream = session.request({ ':scheme': 'ftp', ':path': 'http://user:pass-word@host/v2/' });
    assert.equal((await answerOf(stream.on('error', () => undefined))).status, 400);
    await ask(session, 'GET', '/v2/team/after/tags/list');
    await lineWith(registry, ({ repository }) => repository === 'team/after');
    assert.doesNotMatch(registry.output(), /pass-word/);
    session.destroy();
  });
});
