import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { startProxy, type LocalProxy } from '../../lib/commands/start/proxy.ts';
import { discardUnread } from '../../lib/http/error-responses.ts';
import { digestOf, send } from '../functions/client.ts';
import { dial, head, rest } from '../infra/raw-http.ts';
import { freePort } from '../servers/ports.ts';

const upload = '/v2/team/app/blobs/uploads/3c650c88-9a28-4333-8ca5-6d2d74fc1706?_state=x';
const blob = `/v2/team/app/blobs/${digestOf(Buffer.from('blob'))}`;

/** The proxy of `npm start` before two planes, whose behaviour each test sets. */
describe('the proxy of npm start', () => {
  let base: string;
  let proxy: LocalProxy;
  const planes = new Map<'functions' | 'data plane', { server: Server; listener: RequestListener }>();

  const planeIs = (name: 'functions' | 'data plane', listener: RequestListener) => {
    const plane = planes.get(name);
    assert.ok(plane);
    for (const event of ['request', 'checkContinue'])
      plane.server.removeAllListeners(event).on(event, listener);
  };

  before(async () => {
    for (const name of ['functions', 'data plane'] as const) {
      const listener: RequestListener = (_, response) => response.end(name);
      const server = createServer(listener).listen(0, '127.0.0.1');
      await once(server, 'listening');
      planes.set(name, { server, listener });
    }
    const port = await freePort();
    base = `http://127.0.0.1:${port}`;
    proxy = await startProxy(port, {
      functions: portOf('functions'),
      dataPlane: portOf('data plane'),
      urls: [base],
    });
  });

  after(async () => {
    await proxy.drain(0);
    for (const { server } of planes.values()) server.close();
  });

  const portOf = (name: 'functions' | 'data plane') =>
    (planes.get(name)?.server.address() as AddressInfo).port;

  const reset = () => {
    for (const name of planes.keys()) planeIs(name, (_, response) => response.end(name));
  };

  it('npm start passes uploads in progress and signed URLs to the data plane, and all else to the functions', async () => {
    reset();
    for (const [method, path, plane] of [
      ['PATCH', upload, 'data plane'],
      ['GET', upload, 'data plane'],
      ['GET', `${blob}?expires=1&signature=x`, 'data plane'],
      ['GET', blob, 'functions'],
      ['POST', '/v2/team/app/blobs/uploads/', 'functions'],
      ['GET', '/v2/', 'functions'],
      ['GET', '/v2/team/app/manifests/v1?signature=x', 'functions'],
      ['GET', '/v2/..%2F/nonsense', 'functions'],
    ] as const) {
      const { body } = await send(base, { method, path });
      assert.equal(body.toString(), plane, `${method} ${path}`);
    }
  });

  it('npm start passes headers, repeated ones too, and makes its own URLs relative', async () => {
    planeIs('functions', (incoming, response) => {
      assert.deepEqual(incoming.headersDistinct['accept'], ['a/b', 'c/d']);
      assert.equal(incoming.headers.host, 'registry');
      assert.equal(incoming.headers['x-hop'], undefined);
      response.writeHead(202, ['Location', `${base}/v2/here?a=b`, 'X-Two', '1', 'X-Two', '2']).end();
    });
    const socket = await dial(base);
    const answer = rest(socket);
    const hop = ['X-Hop: a', 'Connection: close, X-Hop'];
    socket.write(head('GET', '/v2/', 'Accept: a/b', 'Accept: c/d', ...hop));
    assert.match(
      await answer,
      /^HTTP\/1\.1 202 .*\r\nLocation: \/v2\/here\?a=b\r\nX-Two: 1\r\nX-Two: 2\r\n/s,
    );
  });

  it('npm start passes what a request must have, although Connection names it', async () => {
    planeIs('data plane', (incoming, response) => {
      const { host, authorization = '' } = incoming.headers;
      incoming.setEncoding('utf8');
      void incoming.toArray().then((body) => response.end(`${host} ${authorization} ${body.join('')}`));
    });
    const named = 'Connection: close, Host, authorization, Content-Length, transfer-encoding';
    for (const [framing, body] of [
      ['Content-Length: 4', 'body'],
      ['Transfer-Encoding: chunked', '4\r\nbody\r\n0\r\n\r\n'],
    ] as const) {
      const socket = await dial(base);
      const answer = rest(socket);
      socket.write(head('PATCH', upload, named, 'Authorization: Bearer token', framing) + body);
      assert.match(await answer, /^HTTP\/1\.1 200 .*registry Bearer token body/s, framing);
    }
  });

  it('npm start sends clients to its token service at the name by which they found the registry', async () => {
    const realm = (url: string) => `Bearer realm="${url}/token",service="x"`;
    planeIs('functions', ({ url = '' }, response) => {
      const header = realm(url === '/v2/' ? base : 'https://tokens.example.com');
      response.writeHead(401, { 'www-authenticate': header }).end();
    });
    for (const [path, expected] of [
      ['/v2/', realm('http://registry')],
      ['/v2/team/app/tags/list', realm('https://tokens.example.com')],
    ] as const) {
      const { headers } = await send(base, { method: 'GET', path, headers: { host: 'registry' } });
      assert.equal(headers['www-authenticate'], expected);
    }
  });

  it('npm start leaves URLs of another host as they are', async () => {
    planeIs('functions', (_, response) => response.writeHead(307, { location: `${base}0/x` }).end());
    const { headers } = await send(base, { method: 'GET', path: '/v2/' });
    assert.equal(headers.location, `${base}0/x`);
  });

  it('npm start streams a body in both directions while it is sent', { timeout: 10_000 }, async () => {
    planeIs('data plane', (incoming, response) => {
      incoming.pipe(response);
    });
    const asked = request(base + upload, { method: 'PATCH' });
    for (const piece of ['first', 'second']) {
      asked.write(piece);
      const response = await responseOf(asked);
      const [bytes] = (await once(response, 'data')) as [Buffer];
      assert.equal(bytes.toString(), piece);
    }
    asked.end();
  });

  it('npm start asks for a body only when the data plane wants it', async () => {
    planeIs('data plane', (incoming, response) => {
      if (incoming.headers['x-wanted'] === undefined) {
        response.writeHead(404).end('none');
        return;
      }
      response.writeContinue();
      incoming.pipe(response);
    });
    const expects = ['Content-Length: 4', 'Expect: 100-continue', 'Connection: close'];
    const refused = await dial(base);
    refused.write(head('PUT', upload, ...expects));
    assert.match(await rest(refused), /^HTTP\/1\.1 404 /);
    const wanted = await dial(base);
    const answer = rest(wanted);
    wanted.write(head('PUT', upload, ...expects, 'X-Wanted: yes'));
    await once(wanted, 'data');
    wanted.write('body');
    assert.match(await answer, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK\r\n.*body/s);
  });

  it('npm start gives a client that is still sending the response that came early', async () => {
    planeIs('data plane', (incoming, response) => {
      // As the data plane does.
      discardUnread({ req: incoming, res: response }, 1_000);
      response.writeHead(416).end('early');
    });
    const { status, body } = await send(base, {
      method: 'PATCH',
      path: upload,
      body: Buffer.alloc(20 * 1024 * 1024),
    });
    assert.deepEqual([status, body.toString()], [416, 'early']);
  });

  it('npm start tells the data plane when a client breaks off', async () => {
    const broken = new Promise<number>((resolve) => {
      planeIs('data plane', (incoming) => {
        let received = 0;
        incoming.on('data', ({ length }: Buffer) => (received += length));
        incoming.once('error', () => {
          resolve(received);
        });
      });
    });
    const socket = await dial(base);
    socket.write(head('PATCH', upload, 'Content-Length: 1000') + 'x'.repeat(100), () => {
      setTimeout(() => socket.destroy(), 100);
    });
    assert.equal(await broken, 100);
  });

  it('npm start cuts off a response that a plane cuts off', async () => {
    planeIs('data plane', (_, response) => {
      response.writeHead(200, { 'content-length': 10 });
      response.write('half', () => response.destroy());
    });
    await assert.rejects(send(base, { method: 'GET', path: `${blob}?signature=x` }), /aborted/);
  });

  it('npm start answers 502 in the form of the protocol when a plane gives no response', async () => {
    planeIs('data plane', (incoming) => incoming.socket.destroy());
    const { status, headers, body } = await send(base, {
      method: 'PUT',
      path: upload,
      body: Buffer.alloc(9),
    });
    assert.deepEqual([status, headers['content-type']], [502, 'application/json']);
    const { errors } = JSON.parse(body.toString()) as { errors: unknown };
    const message = 'the data plane of this registry gave no response';
    assert.deepEqual(errors, [{ code: 'UNAVAILABLE', message }]);
  });

  it('npm start refuses what is no HTTP in the form of the protocol', async () => {
    const socket = await dial(base);
    socket.write('nonsense\r\n\r\n');
    assert.match(await rest(socket), /^HTTP\/1\.1 400 .*\{"errors":\[\{"code":"UNSUPPORTED"/s);
  });

  it('npm start sends a POST without a body as such', async () => {
    planeIs('functions', ({ headers }, response) => {
      response.end(`${headers['content-length']} ${headers['transfer-encoding']}`);
    });
    const socket = await dial(base);
    socket.write(head('POST', '/v2/team/app/blobs/uploads/', 'Connection: close'));
    assert.match(await rest(socket), /\r\n0 undefined/);
  });

  it('npm start finishes requests in flight when it stops, and takes no others', async () => {
    reset();
    let finish = () => undefined as unknown;
    planeIs('data plane', (_, response) => {
      finish = () => response.end('done');
    });
    const asked = send(base, { method: 'GET', path: upload });
    while (proxy.inFlight() === 0) await new Promise(setImmediate);
    // Some clients open connections that they do not use.
    const unused = rest(await dial(base));
    const drained = proxy.drain(10_000);
    await assert.rejects(send(base, { method: 'GET', path: '/v2/' }), /ECONNREFUSED/);
    while (planes.get('data plane')?.server.listenerCount('request') === 0) await new Promise(setImmediate);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(await unused, '');
    finish();
    assert.equal((await asked).body.toString(), 'done');
    await drained;
  });
});

const responses = new WeakMap<ReturnType<typeof request>, IncomingMessage>();

async function responseOf(asked: ReturnType<typeof request>): Promise<IncomingMessage> {
  const known = responses.get(asked);
  if (known) return known;
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  responses.set(asked, response);
  return response;
}
