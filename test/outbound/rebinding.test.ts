import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { channel } from 'node:diagnostics_channel';
import dns from 'node:dns';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import type { Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { AddressRefused } from '../../lib/outbound/addresses.ts';
import { send, type OutboundRequest } from '../../lib/outbound/send.ts';
import { listen } from '../servers/listen.ts';

/** Public by its form, and in a block that IANA has given to nobody, so that no packet arrives anywhere. */
const nowhere = '2fff:ffff::1';

type Callback = (error: NodeJS.ErrnoException | null, found: dns.LookupAddress[]) => void;

const name = 'rebinding.example.com';

/** The loopback of IPv4, as an answer of type AAAA. */
const loopback = '::ffff:7f00:1';

/** A DNS server with one name, whose answers are given one after the other: the last again and again. */
async function dnsServer(): Promise<{
  readonly address: string;
  answers: string[];
  queries: number;
  stop(): void;
}> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const server = {
    address: `127.0.0.1:${socket.address().port}`,
    answers: [] as string[],
    queries: 0,
    stop: () => {
      socket.close();
    },
  };
  socket.on('message', (query, { port }) => {
    server.queries++;
    socket.send(answerOf(query, server.answers.shift() ?? loopback), port, '127.0.0.1');
  });
  return server;
}

/** The query with one answer of type AAAA, whose name points at that of the question (RFC 1035, section 4). */
function answerOf(query: Buffer, address: string): Buffer {
  const questionEnd = query.indexOf(0, 12) + 5;
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(0x8180, 2);
  header.writeUInt16BE(1, 6);
  header.fill(0, 8);
  // Type AAAA, class IN, for no time, 16 bytes.
  const record = Buffer.from('c00c001c0001000000000010', 'hex');
  return Buffer.concat([header, query.subarray(12, questionEnd), record, bytesOf(address)]);
}

function bytesOf(address: string): Buffer {
  const [left = '', right = ''] = address.split('::');
  const groups = (text: string) => text.split(':').filter((group) => group !== '');
  const zeros = 8 - groups(left).length - groups(right).length;
  const all = [...groups(left), ...Array.from({ length: zeros }, () => '0'), ...groups(right)];
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

/**
 * The resolver of the system takes its servers from the machine's settings, so Node's own client of the DNS stands in for it: what is
 * tested is what becomes of the answers.
 */
describe('a name whose address changes between two answers of the DNS', () => {
  const { lookup } = dns;
  let server: Awaited<ReturnType<typeof dnsServer>>;

  before(async () => {
    server = await dnsServer();
    const resolver = new dns.Resolver();
    resolver.setServers([server.address]);
    const byDns = (host: string, _: unknown, callback: Callback) => {
      resolver.resolve6(host, (error, found) => {
        callback(error, error === null ? found.map((address) => ({ address, family: 6 })) : []);
      });
    };
    const either = (host: string, options: dns.LookupAllOptions, callback: Callback) => {
      if (host === name) byDns(host, options, callback);
      else lookup(host, options, callback);
    };
    dns.lookup = either as typeof lookup;
    syncBuiltinESMExports();
  });

  after(() => {
    dns.lookup = lookup;
    syncBuiltinESMExports();
    server.stop();
  });

  /** Sends a request to the name. @returns where it was going, and how it failed */
  async function attempt(
    port: string,
    privateAddresses: OutboundRequest['privateAddresses'] = { remedy: 'set it' },
  ): Promise<{ readonly to: string[]; readonly error: unknown }> {
    const to: string[] = [];
    const connecting = (message: unknown) => {
      const { socket } = message as { readonly socket: Socket };
      socket.on('connectionAttempt', (address: string) => to.push(address));
    };
    channel('net.client.socket').subscribe(connecting);
    try {
      const url = new URL(`http://${name}:${port}/`);
      const body = Buffer.from('secret');
      (await send(url, { method: 'POST', body, timeoutMs: 500, privateAddresses })).resume();
      return { to, error: undefined };
    } catch (error) {
      return { to, error };
    } finally {
      channel('net.client.socket').unsubscribe(connecting);
    }
  }

  it('is asked for once for each request, and only the address that was checked is connected to', async () => {
    let requests = 0;
    const own = await listen(
      createServer((_, response) => {
        requests++;
        response.end();
      }),
    );
    try {
      const { port } = new URL(own.url);
      server.answers = [nowhere, loopback];
      const first = await attempt(port);
      assert.deepEqual(first.to, [nowhere]);
      assert.ok(first.error instanceof Error && !(first.error instanceof AddressRefused));
      assert.equal(server.queries, 1);
      const second = await attempt(port);
      assert.deepEqual(second.to, []);
      assert.ok(second.error instanceof AddressRefused);
      assert.equal(server.queries, 2);
      assert.equal(requests, 0);
      // Where that is permitted, it is where the answer leads.
      assert.equal((await attempt(port, 'permitted')).error, undefined);
      assert.equal(requests, 1);
    } finally {
      await own.stop();
    }
  });
});
