import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, describe, it } from 'node:test';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { send, type Ask, type Reply } from '../functions/client.ts';
import { startGateway, type Gateway, type GatewayOptions } from './gateway.ts';

const mebibyte = 1024 * 1024;

/** The double of API Gateway does what AWS documents; see its comments for the sources. */
describe('a gateway before functions', () => {
  let gateway: Gateway;
  let event: APIGatewayProxyEventV2 | undefined;

  afterEach(async () => {
    event = undefined;
    await gateway.stop();
  });

  const ask = async (
    request: Ask,
    result: APIGatewayProxyStructuredResultV2 = { statusCode: 200 },
    options: GatewayOptions = {},
  ): Promise<Reply> => {
    const note = async (given: APIGatewayProxyEventV2) => {
      event = given;
      return await Promise.resolve(result);
    };
    gateway = await startGateway({ base: note, all: note, uploads: note }, options);
    return await send(gateway.url, request);
  };

  it('joins headers and parameters that come twice, and puts cookies apart', async () => {
    await ask({
      method: 'GET',
      path: '/v2/?a=1&b=2&a=3',
      headers: { accept: ['x/y', 'z/*'], cookie: 'c=1; d=2', 'user-agent': 'test' },
    });
    assert.equal(event?.headers['accept'], 'x/y,z/*');
    assert.deepEqual(event.queryStringParameters, { a: '1,3', b: '2' });
    assert.deepEqual([event.cookies, event.headers['cookie']], [['c=1', 'd=2'], undefined]);
    assert.equal(event.requestContext.http.userAgent, 'test');
    assert.equal(event.routeKey, 'GET /v2/');
  });

  it('translates X-Forwarded-* to Forwarded, and appends what it saw itself', async () => {
    const headers = { 'x-forwarded-for': '192.0.2.1, 192.0.2.2', 'x-forwarded-proto': 'https' };
    await ask({ method: 'GET', path: '/v2/', headers });
    const host = new URL(gateway.url).host;
    assert.equal(
      event?.headers['forwarded'],
      `for=192.0.2.1, for=192.0.2.2, proto=https, by=127.0.0.1;for=127.0.0.1;host=${host};proto=http`,
    );
    assert.deepEqual(
      Object.keys(event.headers).filter((name) => name.startsWith('x-forwarded')),
      [],
    );
  });

  it('gives a type to requests and responses that have none', async () => {
    const { headers } = await ask({ method: 'POST', path: '/v2/a/blobs/uploads/' });
    assert.equal(event?.headers['content-type'], 'application/json');
    assert.deepEqual([event.body, event.isBase64Encoded], [undefined, false]);
    assert.equal(headers['content-type'], 'text/plain;charset=UTF-8');
  });

  it('passes text as it is, and anything else in base64', async () => {
    const body = Buffer.from('{}');
    const types = [
      ['application/json', false],
      ['application/vnd.oci.image.manifest.v1+json', true],
    ] as const;
    for (const [type, isBase64] of types) {
      await ask({ method: 'POST', path: '/v2/', headers: { 'content-type': type }, body });
      assert.equal(event?.isBase64Encoded, isBase64);
      assert.equal(event.body, isBase64 ? 'e30=' : '{}');
      if (!isBase64) await gateway.stop();
    }
  });

  it('decodes paths twice', async () => {
    await ask({ method: 'GET', path: '/v2/a%252Fb' });
    assert.equal(event?.rawPath, '/v2/a/b');
  });

  const own = (message: string) => JSON.stringify({ message });
  for (const [what, request, result, status, message] of [
    ['10 MB', { body: Buffer.alloc(10 * mebibyte + 1) }, {}, 413, 'Request Entity Too Large'],
    ['what Lambda takes', { body: Buffer.alloc(4.6 * mebibyte) }, {}, 413, 'Request Entity Too Large'],
    [
      '10,240 bytes of headers',
      { headers: { 'x-long': 'x'.repeat(10_200) } },
      {},
      431,
      'Request Header Fields Too Large',
    ],
    ['what Lambda returns', {}, { body: 'x'.repeat(6.1 * mebibyte) }, 500, 'Internal Server Error'],
  ] as const)
    it(`answers ${status} of its own beyond ${what}`, async () => {
      const reply = await ask({ method: 'PUT', path: '/v2/', ...request }, { statusCode: 200, ...result });
      assert.deepEqual([reply.status, reply.body.toString('utf8', 0, 99)], [status, own(message)]);
      assert.equal(event === undefined, status !== 500);
    });

  it('answers 503 of its own when the function takes too long', async () => {
    gateway = await startGateway({ base: async () => await new Promise(() => undefined) }, { timeoutMs: 50 });
    const reply = await send(gateway.url, { method: 'GET', path: '/v2/' });
    assert.deepEqual([reply.status, reply.body.toString()], [503, own('Service Unavailable')]);
  });

  const challenge = { statusCode: 401, headers: { 'WWW-Authenticate': 'Basic', 'Stowage-Copy': 'Basic' } };
  const responseParameters = {
    401: { 'overwrite:header.WWW-Authenticate': '$response.header.stowage-copy' },
  };
  for (const [options, plain, renamed] of [
    [{}, 'Basic', undefined],
    [{ challenges: 'renamed' }, undefined, 'Basic'],
    [{ challenges: 'renamed', responseParameters }, 'Basic', 'Basic'],
    [{ challenges: 'renamed at last', responseParameters }, undefined, 'Basic'],
  ] as const)
    it(`sends the challenge of a function by ${JSON.stringify(options)}`, async () => {
      const { headers } = await ask({ method: 'GET', path: '/v2/' }, challenge, options);
      assert.equal(headers['www-authenticate'], plain);
      assert.equal(headers['x-amzn-remapped-www-authenticate'], renamed);
    });

  for (const [headLength, length] of [
    [undefined, '7'],
    ['dropped', undefined],
    ['zero', '0'],
  ] as const)
    it(`answers HEAD with the length ${length} where headLength is ${headLength}`, async () => {
      const options = headLength === undefined ? {} : { headLength };
      const result = { statusCode: 200, headers: { 'content-length': '7' } };
      const { headers } = await ask({ method: 'HEAD', path: '/v2/' }, result, options);
      assert.equal(headers['content-length'], length);
    });
});

describe('a gateway before an emulator', () => {
  const asked: { line: string; type: string | undefined; body: string }[] = [];
  const emulator = createServer((request, response) => {
    let body = '';
    request.setEncoding('latin1').on('data', (text: string) => (body += text));
    request.on('end', () => {
      asked.push({ line: `${request.method} ${request.url}`, type: request.headers['content-type'], body });
      response.writeHead(401, { 'www-authenticate': 'Basic' }).end('who?');
    });
  }).listen(0, '127.0.0.1');

  after(() => {
    emulator.close();
  });

  it('has it call the function, with the limits and switches of the gateway', async () => {
    if (!emulator.listening) await once(emulator, 'listening');
    const invokeUrl = `http://127.0.0.1:${(emulator.address() as AddressInfo).port}/_aws/execute-api/ab12/$default`;
    const gateway = await startGateway({ invokeUrl }, { challenges: 'renamed' });
    const path = '/v2/a/blobs/uploads/id?_state=a%2Bb';
    const body = Buffer.from([0, 255, 1]);
    const reply = await send(gateway.url, { method: 'PATCH', path, body, chunked: true });
    assert.deepEqual([reply.status, reply.body.toString()], [401, 'who?']);
    assert.equal(reply.headers['x-amzn-remapped-www-authenticate'], 'Basic');
    const large = await send(gateway.url, { method: 'PUT', path, body: Buffer.alloc(11 * mebibyte) });
    assert.equal(large.status, 413);
    assert.deepEqual(asked, [
      { line: `PATCH /_aws/execute-api/ab12/$default${path}`, type: undefined, body: '\0ÿ\x01' },
    ]);
    await gateway.stop();
  });
});
