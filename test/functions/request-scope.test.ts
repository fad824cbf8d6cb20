import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { App } from '../../lib/http/app.ts';
import { bodyOf } from '../../lib/http/body.ts';
import { createClientOf } from '../../lib/http/client.ts';
import { Exchange } from '../../lib/http/exchange.ts';
import { withScope } from '../../lib/http/scope.ts';
import { usualLimits } from '../../lib/http/limits.ts';
import { countBucketRequest, requestScope, type RequestScope } from '../../lib/request-scope.ts';
import { freePort } from '../servers/ports.ts';
import { send } from './client.ts';

describe('the scope of a request', async () => {
  const scopes: RequestScope[] = [];
  const services = { telemetry: [], clientOf: createClientOf({ subnets: [], behindGateway: false }) };
  const respond = async (ctx: Exchange) => {
    const scope = requestScope();
    assert.ok(scope);
    scopes.push(scope);
    const pieces: Uint8Array[] = [];
    for await (const piece of bodyOf(ctx.req, usualLimits.bodyRate)) pieces.push(piece);
    for (let i = 0; i < Number(ctx.req.url?.split('=')[1]); i++) {
      await Promise.resolve();
      countBucketRequest();
    }
    ctx.body = Buffer.concat(pieces);
    ctx.send(assert.ifError);
  };
  const handle: App = async (request, response) => {
    const exchange = new Exchange(request as IncomingMessage, response as ServerResponse);
    await withScope(services, exchange, async () => {
      await respond(exchange);
    });
  };
  const port = await freePort();
  const server = createServer((request, response) => void handle(request, response)).listen(
    port,
    '127.0.0.1',
  );
  const ask = async (requests: number, body: Buffer) =>
    await send(`http://127.0.0.1:${port}`, {
      method: 'PUT',
      path: `/?requests=${requests}`,
      body,
      chunked: true,
    });

  after(() => {
    server.close();
  });

  it('counts what each of several concurrent requests reads, sends and asks of the bucket', async () => {
    await Promise.all([1, 2, 3].map(async (one) => await ask(one, randomBytes(one * 100_000))));
    const found = scopes.map(({ bucketRequests, bytesReceived, bytesSent }) => ({
      bucketRequests,
      bytesReceived,
      bytesSent,
    }));
    const expected = [1, 2, 3].map((one) => ({
      bucketRequests: one,
      bytesReceived: one * 100_000,
      bytesSent: one * 100_000,
    }));
    assert.deepEqual(
      found.toSorted((a, b) => a.bucketRequests - b.bucketRequests),
      expected,
    );
    assert.equal(new Set(scopes.map(({ id }) => id)).size, 3);
  });

  it('counts the bytes of a response over HTTP/2 once', async () => {
    const secure = createHttp2Server((request, response) => void handle(request, response));
    secure.listen(0, '127.0.0.1');
    await once(secure, 'listening');
    const session = connect(`http://127.0.0.1:${(secure.address() as AddressInfo).port}`);
    scopes.length = 0;
    const stream = session.request({ ':method': 'PUT', ':path': '/?requests=1' });
    stream.end(randomBytes(70_000));
    assert.equal((await buffer(stream)).byteLength, 70_000);
    session.close();
    secure.close();
    assert.deepEqual([scopes[0]?.bytesReceived, scopes[0]?.bytesSent], [70_000, 70_000]);
  });

  it('is undefined outside of requests', () => {
    assert.equal(requestScope(), undefined);
    countBucketRequest();
  });
});
