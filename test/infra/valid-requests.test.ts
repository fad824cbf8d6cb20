/** Requests that two servers in a row may read in two ways: what follows on them must never be worked on. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { usualLimits } from '../../lib/http/limits.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { Client, indexType, manifest } from '../functions/client.ts';
import { freePort } from '../servers/ports.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { dial, head, rest } from './raw-http.ts';

const name = 'valid/app';
const path = `/v2/${name}/manifests`;

/** A request with the lines that are given and no Host of its own. */
const request = (line: string, ...headers: readonly string[]) => [line, ...headers, '', ''].join('\r\n');

const chunked = '2\r\n{}\r\n0\r\n\r\n';
const put = (version: string, ...headers: readonly string[]) =>
  request(`PUT ${path}/bad HTTP/${version}`, 'Host: registry', ...headers);
const get = (host: string) => request('GET /v2/ HTTP/1.1', `Host: ${host}`);

describe('the streaming server', () => {
  let storage: TestStorage;
  let server: StreamingServer;
  let client: Client;
  const index = manifest({ manifests: [] }, indexType);

  before(async () => {
    storage = await folderStorage();
    const address = { REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`, REGISTRY_LOG_LEVEL: 'error' };
    const config = loadConfig('server', { ...storage.settings, ...address });
    server = await startServer('server', config, { ...usualLimits, lingerMs: 300 });
    client = new Client(server.url);
  });

  after(async () => {
    await server.stop();
    storage.remove();
  });

  const push = async (tag: string) => {
    const headers = { 'content-type': indexType };
    await client.must(201, { method: 'PUT', path: `${path}/${tag}`, headers, body: index });
  };
  const assertFolderExists = async (tag: string) => {
    await client.must(200, { method: 'HEAD', path: `${path}/${tag}` });
  };

  /** Statuses of the answers until the connection ended. */
  const statusesOf = (answers: string) => [...answers.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, code]) => code);

  const refused: Readonly<Record<string, string>> = {
    'chunks within another encoding': put('1.1', 'Transfer-Encoding: gzip, chunked') + chunked,
    'chunks within the identity': put('1.1', 'Transfer-Encoding: identity, chunked') + chunked,
    'chunks after nothing': put('1.1', 'Transfer-Encoding: , chunked') + chunked,
    'chunks twice': put('1.1', 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked') + chunked,
    'another encoding within chunks': put('1.1', 'Transfer-Encoding: chunked, gzip') + chunked,
    'the identity': put('1.1', 'Transfer-Encoding: identity') + chunked,
    'what only ends in chunked': put('1.1', 'Transfer-Encoding: xchunked') + chunked,
    'chunks with a parameter': put('1.1', 'Transfer-Encoding: chunked;q=1') + chunked,
    'chunks after a vertical tab': put('1.1', 'Transfer-Encoding: \x0bchunked') + chunked,
    'chunks before a space and a colon': put('1.1', 'Transfer-Encoding : chunked') + chunked,
    'chunks on a line of their own': put('1.1', 'Transfer-Encoding:\r\n chunked') + chunked,
    'chunks in HTTP/1.0': put('1.0', 'Transfer-Encoding: chunked') + chunked,
    'chunks in HTTP/1.0 that stays':
      put('1.0', 'Connection: keep-alive', 'Transfer-Encoding: chunked') + chunked,
    'chunks and a length': put('1.1', 'Transfer-Encoding: chunked', 'Content-Length: 12') + chunked,
    'chunks that end in LF': put('1.1', 'Transfer-Encoding: chunked') + chunked.replaceAll('\r', ''),
    'one length twice': `${put('1.1', 'Content-Length: 2', 'Content-Length: 2')}{}`,
    'a list of lengths': `${put('1.1', 'Content-Length: 2, 2')}{}`,
    'an empty length': put('1.1', 'Content-Length: '),
    'a length with a sign': `${put('1.1', 'Content-Length: +2')}{}`,
    'a folded header': request('GET /v2/ HTTP/1.1', 'Host: registry', 'X-A: a\r\n b'),
    'lines that end in LF': get('registry').replaceAll('\r', ''),
    'one line that ends in LF': request('GET /v2/ HTTP/1.1', 'Host: registry\nX-A: a'),
    'a line that ends in CR': request('GET /v2/ HTTP/1.1', 'Host: registry\rX-A: a'),
    'a space before a colon': request('GET /v2/ HTTP/1.1', 'Host : registry'),
    'a host with a space': get('regis try'),
    'a host with a slash': get('registry/v2'),
    'a host with a backslash': get('registry\\v2'),
    'a host with a user': get('user:password@registry'),
    'a host with a query': get('registry?x'),
    'a host with a fragment': get('registry#x'),
    'two hosts in one line': get('registry, other'),
    'a host in percent-encoding': get('registr%79'),
    'a host beyond ASCII': get('régistry'),
    'a port that is none': get('registry:http'),
    'two ports': get('registry:1:2'),
    'an empty host': get(''),
    'a port without a host': get(':5000'),
    'an address without its end': get('[::1'),
    'a host in HTTP/1.0 with a space': request('GET /v2/ HTTP/1.0', 'Host: regis try'),
    'a target with a password': request('GET http://user:password@registry/v2/ HTTP/1.1', 'Host: registry'),
    'a target of another scheme with a password': request(
      'GET ftp://u:p@registry/ HTTP/1.1',
      'Host: registry',
    ),
    'a fragment': request('GET /v2/#/_catalog HTTP/1.1', 'Host: registry'),
    'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    CONNECT: request('CONNECT registry:1 HTTP/1.1', 'Host: registry'),
  };
  for (const [what, bytes] of Object.entries(refused))
    it(`answers 400 to ${what}, closes, and does nothing of what follows`, async () => {
      await push('kept');
      const socket = await dial(server.url);
      const answers = rest(socket);
      socket.write(bytes + head('DELETE', `${path}/kept`), 'latin1');
      await delay(20);
      socket.write(head('DELETE', `${path}/kept`));
      const text = await answers;
      assert.deepEqual(statusesOf(text), ['400'], text);
      assert.match(
        text,
        /\r\ncontent-type: application\/json\r\n[^]*\{"errors":\[\{"code":"UNSUPPORTED","message":"\S/i,
      );
      await assertFolderExists('kept');
    });

  for (const host of [
    'registry',
    'my_registry:5000',
    'registry.example.',
    '127.0.0.1:',
    '[::1]:5000',
    'REGISTRY',
  ])
    it(`takes the host ${host}`, async () => {
      const socket = await dial(server.url);
      socket.write(get(host));
      const [answer] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      assert.match(answer.toString(), /^HTTP\/1\.1 200 /);
    });

  for (const encoding of ['chunked', 'Chunked'])
    it(`takes the encoding ${encoding}`, async () => {
      const socket = await dial(server.url);
      socket.write(
        head('PUT', `${path}/coded`, `Content-Type: ${indexType}`, `Transfer-Encoding: ${encoding}`),
      );
      socket.write(`${index.length.toString(16)}\r\n${index.toString()}\r\n0\r\n\r\n`);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      assert.match(answer.toString(), /^HTTP\/1\.1 201 /);
    });

  for (const body of ['', '{}'])
    it(`answers a request for an upgrade ${body && 'with a body '}as any other, and closes before what follows`, async () => {
      await push('kept');
      const socket = await dial(server.url);
      const answers = rest(socket);
      const upgrade = ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAA'];
      const first = head('PUT', `${path}/%61`, ...upgrade, `Content-Length: ${body.length}`) + body;
      const remove = head('DELETE', `${path}/kept`);
      socket.write(first + head('PUT', `${path}/other`, `Content-Length: ${remove.length}`));
      await delay(20);
      // The body of the second request, which a desynchronised server reads as a third.
      socket.write(remove);
      const text = await answers;
      assert.deepEqual(statusesOf(text), ['400'], text);
      assert.match(text, /TAG_INVALID/);
      await assertFolderExists('kept');
    });

  it('keeps a connection whose proxy only says that it could be upgraded', async () => {
    const socket = await dial(server.url);
    const answers = rest(socket);
    socket.write(
      head('GET', '/v2/', 'Connection: upgrade').repeat(2) + head('GET', '/v2/', 'Connection: close'),
    );
    assert.deepEqual(statusesOf(await answers), ['200', '200', '200']);
  });

  it('answers requests before CONNECT first', async () => {
    await push('kept');
    const socket = await dial(server.url);
    const answers = rest(socket);
    socket.write(head('GET', `${path}/kept`) + request('CONNECT registry:1 HTTP/1.1', 'Host: registry'));
    assert.deepEqual(statusesOf(await answers), ['200', '400']);
  });

  it('does not treat bytes after CONNECT as another request', async () => {
    await push('kept');
    const { hostname, port } = new URL(server.url);
    // It may send when the server has ended its side.
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    socket.write(request('CONNECT registry:1 HTTP/1.1', 'Host: registry'));
    await once(socket, 'data');
    // They get the parsers of Node's that are free.
    const others = await Promise.all(Array.from({ length: 5 }, async () => await dial(server.url)));
    const answers = others.map(async (other) => await rest(other));
    await delay(50);
    socket.write(head('DELETE', `${path}/kept`));
    await delay(50);
    for (const other of others) other.write(head('GET', `${path}/kept`, 'Connection: close'));
    for (const answer of answers) assert.deepEqual(statusesOf(await answer), ['200']);
    socket.destroy();
  });

  it('survives a client that resets its connection after CONNECT', async () => {
    const socket = await dial(server.url);
    socket.write(request('CONNECT registry:1 HTTP/1.1', 'Host: registry'));
    await once(socket, 'data');
    socket.resetAndDestroy();
    await delay(50);
    await client.must(200, { method: 'GET', path: '/v2/' });
  });

  it('closes a connection that sends more after its end', async () => {
    const socket = await dial(server.url);
    const answers = rest(socket);
    socket.write(put('1.1', 'Transfer-Encoding: gzip, chunked'));
    const chatter = setInterval(() => socket.write('1\r\na\r\n'), 20);
    assert.deepEqual(statusesOf(await answers), ['400']);
    clearInterval(chatter);
  });
});
