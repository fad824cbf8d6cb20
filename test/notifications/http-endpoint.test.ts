import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { HttpEndpoint } from '../../lib/notifications/http/endpoint.ts';
import { retryAfterMs } from '../../lib/notifications/http/retry-after.ts';
import { receiver, type Receiver } from './receiver.ts';
import { notificationOf, webhookConfig } from './samples.ts';

type Options = Parameters<typeof webhookConfig>[1];

function endpoint(url: string, options?: Options): HttpEndpoint {
  const config = webhookConfig(url, options);
  return new HttpEndpoint(config, config.target, {});
}

describe('a webhook', () => {
  let server: Receiver;

  beforeEach(async () => {
    server = await receiver();
  });

  afterEach(async () => {
    await server.stop();
  });

  it('gets one POST for each event, with the headers of its settings', async () => {
    const headers = {
      Authorization: ['Bearer secret'],
      'X-Several': ['a', 'b'],
      'Content-Type': ['text/plain'],
    };
    const notification = notificationOf();
    const delivery = await endpoint(`${server.url}/hook?a=b`, { target: { headers } }).deliver(notification);
    assert.deepEqual(delivery, { outcome: 'taken', status: '200 OK' });
    const [request, ...others] = server.received;
    assert.deepEqual(others, []);
    assert.partialDeepStrictEqual(request, {
      method: 'POST',
      path: '/hook?a=b',
      headers: {
        authorization: 'Bearer secret',
        'x-several': 'a, b',
        'content-type': 'application/vnd.docker.distribution.events.v2+json',
        'user-agent': 'stowage',
      },
    });
    assert.partialDeepStrictEqual(JSON.parse(request?.body ?? ''), { events: [{ id: notification.id }] });
    assert.equal(request?.headers['webhook-signature'], undefined);
  });

  it('gets CloudEvents in structured mode if its settings say so', async () => {
    await endpoint(server.url, { format: 'cloudevents' }).deliver(notificationOf());
    const [request] = server.received;
    assert.equal(request?.headers['content-type'], 'application/cloudevents+json; charset=utf-8');
    assert.partialDeepStrictEqual(JSON.parse(request.body), { specversion: '1.0' });
  });

  for (const [status, outcome] of [
    [200, 'taken'],
    [202, 'taken'],
    [204, 'taken'],
    [299, 'taken'],
    [304, 'taken'],
    [400, 'refused'],
    [401, 'refused'],
    [404, 'refused'],
    [410, 'refused'],
    [408, 'failed'],
    [429, 'failed'],
    [500, 'failed'],
    [503, 'failed'],
  ] as const)
    it(`that answers ${status} has ${outcome} the event`, async () => {
      server.answer((response) => response.writeHead(status).end());
      const delivery = await endpoint(server.url).deliver(notificationOf());
      assert.equal(delivery.outcome, outcome);
      assert.match(String(delivery.status), new RegExp(`^${status}\\b`));
    });

  for (const [status, isAboutEvent] of [
    [400, true],
    [413, true],
    [415, true],
    [422, true],
    [401, false],
    [403, false],
    [404, false],
  ] as const)
    it(`refuses ${isAboutEvent ? 'what the event says' : 'all that comes'} with ${status}`, async () => {
      server.answer((response) => response.writeHead(status).end());
      assert.partialDeepStrictEqual(await endpoint(server.url).deliver(notificationOf()), { isAboutEvent });
    });

  for (const status of [301, 302, 303, 307, 308])
    it(`is not asked again where it redirects to with ${status}`, async () => {
      const elsewhere = await receiver();
      server.answer((response) => response.writeHead(status, { Location: elsewhere.url }).end());
      const delivery = await endpoint(server.url).deliver(notificationOf());
      assert.equal(delivery.outcome, 'taken');
      assert.deepEqual(elsewhere.received, []);
      await elsewhere.stop();
    });

  it('says when it wants to be asked again', async () => {
    server.answer((response) => response.writeHead(429, { 'Retry-After': '7' }).end());
    const delivery = await endpoint(server.url).deliver(notificationOf());
    assert.partialDeepStrictEqual(delivery, { outcome: 'failed', retryAfterMs: 7000 });
  });

  it('that has not answered in time has failed', async () => {
    server.answer(() => undefined);
    const delivery = await endpoint(server.url, { timeoutMs: 100 }).deliver(notificationOf());
    assert.deepEqual([delivery.outcome, delivery.status], ['failed', undefined]);
    assert.match(delivery.outcome === 'failed' ? delivery.reason : '', /has not answered within 100 ms/);
  });

  it('that resets the connection after a status has taken the event', async () => {
    server.answer((response) => {
      response.writeHead(200, { 'Content-Length': '1000' }).write('some');
      setImmediate(() => response.socket?.resetAndDestroy());
    });
    assert.equal((await endpoint(server.url).deliver(notificationOf())).outcome, 'taken');
  });

  it('whose response never ends has taken the event', async () => {
    const left = Promise.withResolvers<undefined>();
    server.answer((response) => {
      response.writeHead(200);
      const write = (): void => {
        while (response.write('x'.repeat(10_000)));
      };
      response.on('drain', write).on('close', () => {
        left.resolve(undefined);
      });
      write();
    });
    assert.equal((await endpoint(server.url).deliver(notificationOf())).outcome, 'taken');
    // The connection is not left open.
    await left.promise;
  });

  it('that sends more headers than a response may have has failed', async () => {
    server.answer((response) => response.writeHead(200, { 'X-Long': 'x'.repeat(100_000) }).end());
    assert.equal((await endpoint(server.url).deliver(notificationOf())).outcome, 'failed');
  });

  it('that is gone has failed', async () => {
    await server.stop();
    const delivery = await endpoint(server.url).deliver(notificationOf());
    assert.match(delivery.outcome === 'failed' ? delivery.reason : '', /ECONNREFUSED/);
    server = await receiver();
  });

  it('whose delivery is aborted has failed', async () => {
    const stop = new AbortController();
    server.answer(() => {
      stop.abort();
    });
    const delivery = await endpoint(server.url, { timeoutMs: 60_000 }).deliver(notificationOf(), stop.signal);
    assert.equal(delivery.outcome, 'failed');
  });

  it('is signed with each of its secrets, as openssl computes it', async () => {
    const key = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64');
    const secrets = [`whsec_${key.toString('base64')}`, 'a secret in plain text'];
    const notification = notificationOf();
    await endpoint(server.url, { target: { secrets } }).deliver(notification);
    const [request] = server.received;
    assert.ok(request !== undefined);
    const {
      'webhook-id': id,
      'webhook-timestamp': timestamp,
      'webhook-signature': signature,
    } = request.headers;
    assert.equal(id, notification.id);
    const signed = (secret: Buffer) => {
      const options = ['dgst', '-sha256', '-mac', 'HMAC', '-macopt', `hexkey:${secret.toString('hex')}`];
      const input = `${notification.id}.${String(timestamp)}.${request.body}`;
      return `v1,${execFileSync('openssl', [...options, '-binary'], { input }).toString('base64')}`;
    };
    assert.equal(signature, `${signed(key)} ${signed(Buffer.from('a secret in plain text'))}`);
    assert.ok(Math.abs(Number(timestamp) - Date.now() / 1000) < 60);
  });

  it('of another kind than HTTP has failed', async () => {
    const other = createServer((socket: Socket) => {
      socket.on('error', () => undefined).end('SSH-2.0-none\r\n');
    });
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const delivery = await endpoint(`http://127.0.0.1:${port}`).deliver(notificationOf());
    assert.equal(delivery.outcome, 'failed');
    other.close();
  });
});

describe('a webhook over TLS', () => {
  let server: Receiver;

  before(async () => {
    server = await receiver({ tls: true });
  });

  after(async () => {
    await server.stop();
  });

  it('with a certificate that nobody vouches for gets nothing', async () => {
    const delivery = await endpoint(server.url).deliver(notificationOf());
    assert.match(delivery.outcome === 'failed' ? delivery.reason : '', /self-signed certificate/);
    assert.deepEqual(server.received, []);
  });
});

describe('an address that is not public', () => {
  let server: Receiver;

  before(async () => {
    server = await receiver();
  });

  after(async () => {
    await server.stop();
  });

  for (const host of [
    '127.0.0.1',
    'localhost',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '127.1',
    '0.0.0.0',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::127.0.0.1]',
    '[::]',
    '169.254.169.254',
    '[fd00:ec2::254]',
    '10.0.0.1',
  ])
    it(`gets nothing without the setting: ${host}`, async () => {
      const url = server.url.replace('127.0.0.1', host);
      const config = webhookConfig(url, { target: { privateAddresses: false } });
      const delivery = await new HttpEndpoint(config, config.target, {}).deliver(notificationOf());
      assert.match(
        delivery.outcome === 'failed' ? delivery.reason : '',
        /not a public address: set privateaddresses of the endpoint builds if that is meant/,
      );
      assert.deepEqual(server.received, []);
    });

  it('gets events with the setting, also by name', async () => {
    const url = server.url.replace('127.0.0.1', 'localhost');
    const delivery = await endpoint(url).deliver(notificationOf());
    assert.deepEqual([delivery.outcome, server.received.length], ['taken', 1]);
  });
});

describe('the header Retry-After', () => {
  const now = Date.parse('2026-11-28T00:00:00Z');

  for (const [header, ms] of [
    ['0', 0],
    ['120', 120_000],
    ['Sat, 28 Nov 2026 00:00:30 GMT', 30_000],
    ['Fri, 27 Nov 2026 00:00:00 GMT', 0],
    ['soon', undefined],
    [undefined, undefined],
  ] as const)
    it(`is ${String(ms)} ms for ${String(header)}`, () => {
      assert.equal(retryAfterMs(header, now), ms);
    });
});
