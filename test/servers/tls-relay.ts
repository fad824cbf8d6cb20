import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type NetConnectOpts, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';

/** Passes connections with TLS on as they are, and reads what clients say before the encryption. */
export interface Relay {
  readonly port: number;
  /** The protocols that each connection asked for by ALPN (RFC 7301), the preferred one first; none without ALPN. */
  readonly offers: string[][];
  stop(): Promise<void>;
}

/** Starts a relay at the address of a server. */
export async function tlsRelay(server: NetConnectOpts & { readonly host: string }): Promise<Relay> {
  const offers: string[][] = [];
  const sockets = new Set<Socket>();
  const relay = createServer((socket) => {
    const upstream = connect(server);
    for (const one of [socket, upstream]) sockets.add(one);
    socket.once('data', (hello) => {
      offers.push(protocolsOf(hello));
      upstream.write(hello);
      // A side that hangs up ends the other.
      void pipeline(socket, upstream, socket).catch(() => undefined);
    });
    socket.on('error', () => undefined);
    upstream.on('error', () => undefined);
  });
  relay.listen(0, server.host);
  await once(relay, 'listening');
  return {
    port: (relay.address() as AddressInfo).port,
    offers,
    stop: async () => {
      relay.close();
      for (const socket of sockets) socket.destroy();
      await once(relay, 'close');
    },
  };
}

/** The protocols in a ClientHello (RFC 8446, section 4.1.2), which a client sends in one piece. */
function protocolsOf(hello: Buffer): string[] {
  let at = 5 + 4 + 2 + 32; // headers of record and handshake, version, random bytes
  at += 1 + hello.readUInt8(at); // session id
  at += 2 + hello.readUInt16BE(at); // ciphers
  at += 1 + hello.readUInt8(at); // compressions
  at += 2;
  while (at < hello.length) {
    const [type, length] = [hello.readUInt16BE(at), hello.readUInt16BE(at + 2)];
    at += 4;
    if (type === 16) return namesIn(hello.subarray(at + 2, at + length));
    at += length;
  }
  return [];
}

/** Each has its length before it. */
function namesIn(list: Buffer): string[] {
  const names: string[] = [];
  for (let at = 0; at < list.length; at += 1 + list.readUInt8(at))
    names.push(list.toString('latin1', at + 1, at + 1 + list.readUInt8(at)));
  return names;
}
