import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, isIPv6, Socket } from 'node:net';
import type { Subnet } from '../config/proxies.ts';
import type { Client } from '../request-scope.ts';

/** What proxies in front of this process are believed. */
export interface ProxyTrust {
  readonly subnets: readonly Subnet[];
  /** Whether all requests come through a gateway that sets `X-Forwarded-Proto` and `X-Request-Id`, as for functions. */
  readonly behindGateway: boolean;
}

/** Finds the clients behind trusted proxies. */
export function createClientOf({ subnets, behindGateway }: ProxyTrust): (request: IncomingMessage) => Client {
  const trusted = new BlockList();
  for (const { address, prefix, family } of subnets) trusted.addSubnet(address, prefix, family);
  const isTrusted = (address: string) => trusted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
  return (request) => {
    const { remoteAddress } = request.socket;
    const peer = remoteAddress === undefined ? undefined : addressOf(remoteAddress);
    const isProxy = peer === undefined ? isUnixSocket(request.socket) : isTrusted(peer);
    const forwarded = forwardedOf(request);
    // Where no proxy is named, https is believed from anybody: it only changes the sender's own challenge.
    const isHttps = subnets.length === 0 && forwarded.protocol === 'https';
    return {
      address: isProxy ? clientAddress(forwarded.addresses, peer, isTrusted) : peer,
      protocol: isProxy || behindGateway || isHttps ? forwarded.protocol : undefined,
      host: isProxy ? forwarded.host : undefined,
      requestId: isProxy || behindGateway ? harmlessId(header(request, 'x-request-id')) : undefined,
    };
  };
}

/** The peer of a Unix socket is a process on this machine that may write to the socket: a proxy. */
function isUnixSocket(socket: Socket): boolean {
  return socket instanceof Socket && !socket.destroyed && socket.localAddress === undefined;
}

interface Forwarded {
  /** As the header has them: each proxy appends where its request came from. One list for each of the two headers. */
  readonly addresses: readonly (readonly string[])[];
  readonly protocol: 'http' | 'https' | undefined;
  readonly host: string | undefined;
}

/** `Forwarded` (RFC 7239) and the `X-Forwarded-…` headers. */
function forwardedOf(request: IncomingMessage): Forwarded {
  const elements = header(request, 'forwarded')?.split(',').map(parametersOf) ?? [];
  const plain = header(request, 'x-forwarded-for')?.split(',');
  const [first] = elements;
  const host = firstOf(header(request, 'x-forwarded-host')) ?? first?.get('host');
  return {
    addresses: [
      ...(elements.length === 0 ? [] : [elements.map((element) => element.get('for') ?? '')]),
      ...(plain === undefined ? [] : [plain]),
    ],
    // Each proxy appends its own; the first one saw the client.
    protocol: protocolOf(firstOf(header(request, 'x-forwarded-proto')) ?? first?.get('proto')),
    host:
      host !== undefined && /^(?:[\w.-]{1,255}|\[[\da-f:.]{2,45}\])(?::\d{1,5})?$/i.test(host)
        ? host
        : undefined,
  };
}

/** The parameters of an element of `Forwarded`: `for="[2001:db8::1]:4711";proto=https`. */
function parametersOf(element: string): ReadonlyMap<string, string> {
  const pairs = element.split(';').map((pair) => pair.trim().split('=', 2));
  return new Map(
    pairs.map(([name = '', value = '']) => [name.toLowerCase(), value.replace(/^"(.*)"$/, '$1')]),
  );
}

/**
 * The last address that no trusted proxy has, read from the right, where each proxy has appended. Clients can send both headers,
 * and most proxies set only one of them, so where the two disagree neither counts.
 * @param peer undefined for a Unix socket
 */
function clientAddress(
  lists: readonly (readonly string[])[],
  peer: string | undefined,
  isTrusted: (address: string) => boolean,
): string | undefined {
  const found = new Set(lists.map((list) => lastUntrusted(list, peer, isTrusted)));
  const [address, ...others] = found;
  return others.length === 0 && found.size > 0 ? address : peer;
}

function lastUntrusted(
  list: readonly string[],
  peer: string | undefined,
  isTrusted: (address: string) => boolean,
): string | undefined {
  let last = peer;
  for (const entry of list.toReversed()) {
    const address = addressOf(entry.trim());
    // `unknown`, an obfuscated name, or no address at all: whoever wrote it is the last that is known.
    if (address === undefined) return last;
    if (!isTrusted(address)) return address;
    last = address;
  }
  return last;
}

/** An address without port, brackets and zone; one that is IPv4 mapped to IPv6 as IPv4. */
function addressOf(text: string): string | undefined {
  const [, bracketed, ipv4, plain = ''] =
    /^(?:\[([\da-f:.]+)\](?::\d{1,5})?|(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}|([\da-f:.]+)(?:%\w+)?)$/i.exec(
      text,
    ) ?? [];
  const address = (bracketed ?? ipv4 ?? plain).replace(/^::ffff:(?=\d+\.)/i, '');
  return isIP(address) === 0 ? undefined : address;
}

function firstOf(list: string | undefined): string | undefined {
  return list?.split(',', 1)[0]?.trim();
}

function protocolOf(text: string | undefined): Client['protocol'] {
  const protocol = text?.toLowerCase();
  return protocol === 'http' || protocol === 'https' ? protocol : undefined;
}

/** An id that can be written to a log and into a header as it is. */
function harmlessId(text: string | undefined): string | undefined {
  return text !== undefined && /^[\w.:=+/@-]{1,128}$/.test(text) ? text : undefined;
}

/** Of several headers of one name, all values. */
function header({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(',') : value;
}
