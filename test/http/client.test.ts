import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http';
import { describe, it } from 'node:test';
import { join } from 'node:path';
import { readTrustedProxies } from '../../lib/config/proxies.ts';
import { Settings } from '../../lib/config/settings.ts';
import { createClientOf } from '../../lib/http/client.ts';
import type { Client } from '../../lib/request-scope.ts';
import { temporaryFolder } from '../servers/folder.ts';

/** The client of a request that comes from 127.0.0.1, or through a Unix socket. */
async function clientOf(
  proxies: string,
  headers: OutgoingHttpHeaders,
  { behindGateway = false, path = '' } = {},
): Promise<Client> {
  const subnets = readTrustedProxies(new Settings({ REGISTRY_HTTP_TRUSTEDPROXIES: proxies }));
  const find = createClientOf({ subnets, behindGateway });
  const server = createServer((incoming, response) => {
    response.end(JSON.stringify(find(incoming)));
  });
  server.listen(path === '' ? { host: '127.0.0.1', port: 0 } : { path });
  await once(server, 'listening');
  const address = server.address();
  const where =
    address !== null && typeof address === 'object'
      ? { host: '127.0.0.1', port: address.port }
      : { socketPath: path };
  try {
    const asked = request({ ...where, headers, agent: false }).end();
    const [response] = (await once(asked, 'response')) as [AsyncIterable<Buffer>];
    return JSON.parse(Buffer.concat(await Array.fromAsync(response)).toString()) as Client;
  } finally {
    server.close();
  }
}

const all = '127.0.0.0/8, 10.0.0.0/8, 2001:db8::/32';

describe('the client of a request', () => {
  const addresses: readonly (readonly [string, string, OutgoingHttpHeaders, string])[] = [
    ['is the peer without headers', all, {}, '127.0.0.1'],
    ['is the peer where no proxy is trusted', '', { 'x-forwarded-for': '192.0.2.1' }, '127.0.0.1'],
    [
      'is the peer where only others are trusted',
      '10.0.0.0/8',
      { 'x-forwarded-for': '192.0.2.1' },
      '127.0.0.1',
    ],
    [
      'is the peer where every IPv6 address is trusted, but none of IPv4',
      '::/0',
      { 'x-forwarded-for': '192.0.2.1' },
      '127.0.0.1',
    ],
    ['is what a trusted proxy names', all, { 'x-forwarded-for': '192.0.2.1' }, '192.0.2.1'],
    [
      'is what a proxy names that is trusted by its address',
      '127.0.0.1',
      { 'x-forwarded-for': '192.0.2.1' },
      '192.0.2.1',
    ],
    [
      'is the last address before trusted ones',
      all,
      { 'x-forwarded-for': '192.0.2.9, 192.0.2.1, 10.1.2.3' },
      '192.0.2.1',
    ],
    [
      'is read of several headers as of one',
      all,
      { 'x-forwarded-for': ['192.0.2.9', '192.0.2.1'] },
      '192.0.2.1',
    ],
    [
      'is the first address where all are trusted',
      all,
      { 'x-forwarded-for': '10.9.9.9, 10.1.2.3' },
      '10.9.9.9',
    ],
    [
      'is the last that is known before a word',
      all,
      { 'x-forwarded-for': '192.0.2.9, unknown, 10.1.2.3' },
      '10.1.2.3',
    ],
    ['has no port', all, { 'x-forwarded-for': '192.0.2.1:4711' }, '192.0.2.1'],
    ['may have IPv6', all, { 'x-forwarded-for': '[2001:db9::7]:4711, 2001:db8::1' }, '2001:db9::7'],
    ['is IPv4 where that is mapped to IPv6', all, { 'x-forwarded-for': '::ffff:192.0.2.1' }, '192.0.2.1'],
    ['is the peer where the header is empty', all, { 'x-forwarded-for': ', ,' }, '127.0.0.1'],
    [
      'is what Forwarded names',
      all,
      { forwarded: 'for=192.0.2.9, for=192.0.2.1;proto=https, For="10.0.0.1:80"' },
      '192.0.2.1',
    ],
    ['may have IPv6 in Forwarded', all, { forwarded: 'proto=http;for="[2001:db9::7]:4711"' }, '2001:db9::7'],
    ['is not an obfuscated name', all, { forwarded: 'for=_hidden' }, '127.0.0.1'],
    [
      'counts where both headers agree',
      all,
      { forwarded: 'for=192.0.2.1', 'x-forwarded-for': '192.0.2.1' },
      '192.0.2.1',
    ],
    [
      'is the peer where the two headers disagree',
      all,
      { forwarded: 'for=192.0.2.9', 'x-forwarded-for': '192.0.2.1' },
      '127.0.0.1',
    ],
  ];
  for (const [title, proxies, headers, expected] of addresses)
    it(`${title}: ${JSON.stringify(headers)}`, async () => {
      assert.equal((await clientOf(proxies, headers)).address, expected);
    });

  it('comes through a Unix socket from a proxy on this machine', async () => {
    const folder = await temporaryFolder('http-client');
    try {
      const path = join(folder.path, 'socket');
      assert.equal((await clientOf('', { 'x-forwarded-for': '192.0.2.1' }, { path })).address, '192.0.2.1');
      assert.equal((await clientOf('', {}, { path })).address, undefined);
    } finally {
      folder.remove();
    }
  });

  const forwarded = {
    'x-forwarded-proto': 'https, http',
    'x-forwarded-host': 'r.example.com',
    'x-request-id': 'a-1',
  };

  it('has the scheme, the host and the request id that a trusted proxy names', async () => {
    const { protocol, host, requestId } = await clientOf(all, forwarded);
    assert.deepEqual(
      { protocol, host, requestId },
      { protocol: 'https', host: 'r.example.com', requestId: 'a-1' },
    );
    const other = await clientOf(all, { forwarded: 'for=192.0.2.1;proto=https;host="r.example.com:5000"' });
    assert.deepEqual([other.protocol, other.host], ['https', 'r.example.com:5000']);
  });

  it('has none of them from a peer that is not trusted', async () => {
    const { protocol, host, requestId } = await clientOf('10.0.0.0/8', forwarded);
    assert.deepEqual([protocol, host, requestId], [undefined, undefined, undefined]);
  });

  it('has the scheme https, and no other, where no proxies are named', async () => {
    const { protocol, host, requestId } = await clientOf('', forwarded);
    assert.deepEqual([protocol, host, requestId], ['https', undefined, undefined]);
    assert.equal((await clientOf('', { 'x-forwarded-proto': 'http' })).protocol, undefined);
  });

  it('has the scheme and the request id of the gateway before functions', async () => {
    const { address, protocol, host, requestId } = await clientOf('', forwarded, { behindGateway: true });
    assert.deepEqual([address, protocol, host, requestId], ['127.0.0.1', 'https', undefined, 'a-1']);
  });

  it('has the scheme of the gateway behind a proxy that names none', async () => {
    const byGateway = 'by=3.70.0.1;for=198.51.100.7;host=r.example.com;proto=https';
    for (const [header, expected] of [
      [`for=192.0.2.1, ${byGateway}`, 'https'],
      [`for=192.0.2.1, for=192.0.2.2;proto="", ${byGateway}`, undefined],
      ['for=192.0.2.1;proto=http, for=10.0.0.1;proto=https', 'http'],
      ['for=192.0.2.1, for=192.0.2.2', undefined],
    ] as const) {
      const { protocol } = await clientOf('', { forwarded: header }, { behindGateway: true });
      assert.equal(protocol, expected, header);
    }
  });

  it('has no host and no request id that a log or a header could not take', async () => {
    for (const id of ['a b', 'x'.repeat(129), '"', 'ü'])
      assert.equal(
        (await clientOf(all, { 'x-request-id': Buffer.from(id).toString('latin1') })).requestId,
        undefined,
        id,
      );
    for (const host of ['a b', 'a/b', 'u:p@h', '"'])
      assert.equal((await clientOf(all, { 'x-forwarded-host': host })).host, undefined, host);
  });

  it('is found at once behind a trusted proxy, however much the client sends', async () => {
    const names = { 'x-forwarded-for': `${'10.0.0.1,'.repeat(600)}192.0.2.1, 10.1.2.3` };
    assert.equal((await clientOf(all, names)).address, '192.0.2.1');
    const long = { forwarded: `for=192.0.2.9;${'x'.repeat(7_000)}` };
    assert.equal((await clientOf(all, long)).address, '127.0.0.1');
  });

  it('costs no more with long headers of a peer that is not trusted', () => {
    const find = createClientOf({ subnets: [], behindGateway: false });
    const socket = { remoteAddress: '192.0.2.1' };
    const timeOf = (headers: Record<string, string>) => {
      const incoming = { socket, headers } as unknown as IncomingMessage;
      const start = process.cpuUsage();
      for (let i = 0; i < 2_000; i++) find(incoming);
      const { user, system } = process.cpuUsage(start);
      return (user + system) / 2_000;
    };
    timeOf({});
    const long = timeOf({ forwarded: ';,'.repeat(7_500), 'x-forwarded-for': ';,'.repeat(7_500) });
    // Microseconds; reading all of it takes 10,000.
    assert.ok(long < 300, `${long} µs`);
  });

  it('is known by an address with a zone of any name', async () => {
    const { address } = await clientOf(all, { 'x-forwarded-for': 'fe80::1%br-1a2b.100' });
    assert.equal(address, 'fe80::1');
  });
});
