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

/** Finds the clients behind trusted proxies. Headers of others are hardly read, since anybody may send long ones. */
export function createClientOf({ subnets, behindGateway }: ProxyTrust): (request: IncomingMessage) => Client {
  // One list for both would take `::/0` for every IPv4 address too.
  const trusted = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const { address, prefix, family } of subnets) trusted[family].addSubnet(address, prefix, family);
  const isTrusted = (address: string) => {
    if (subnets.length === 0) return false;
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    return trusted[family].check(address, family);
  };
  return (request) => {
    const peer = peerOf(request.socket);
    const isProxy = peer === undefined ? isUnixSocket(request.socket) : isTrusted(peer);
    const protocol = protocolOf(request);
    return {
      address: isProxy ? clientAddress(request, peer, isTrusted) : peer,
      // Where no proxy is named, https is believed from anybody: it only changes the sender's own challenge.
      protocol:
        isProxy || behindGateway || (subnets.length === 0 && protocol === 'https') ? protocol : undefined,
      host: isProxy ? hostOf(request) : undefined,
      requestId: isProxy || behindGateway ? harmlessId(header(request, 'x-request-id')) : undefined,
    };
  };
}

/** The addresses of peers: each request of a connection needs it. */
const peers = new WeakMap<Socket, string>();

/** The address of a connection's peer. */
function peerOf(socket: Socket): string | undefined {
  const known = peers.get(socket);
  if (known !== undefined || socket.remoteAddress === undefined) return known;
  const address = addressOf(socket.remoteAddress);
  if (address !== undefined) peers.set(socket, address);
  return address;
}

/** The peer of a Unix socket is a process on this machine that may write to the socket: a proxy. */
function isUnixSocket(socket: Socket): boolean {
  return socket instanceof Socket && !socket.destroyed && socket.localAddress === undefined;
}

/** The scheme that the client used. Each proxy appends its own; the first one that names it was the nearest to the client. */
function protocolOf(request: IncomingMessage): Client['protocol'] {
  const forwarded = header(request, 'forwarded');
  const name = firstOf(header(request, 'x-forwarded-proto')) ?? (forwarded && firstForwardedProto(forwarded));
  const protocol = name?.toLowerCase();
  return protocol === 'http' || protocol === 'https' ? protocol : undefined;
}

/** Characters of `Forwarded`, and elements, that are read for the scheme. Anybody may send more. */
const [maxForwarded, maxForwardedElements] = [2048, 20];

/** Before API Gateway, a proxy that sends only `X-Forwarded-For` becomes an element without a scheme. */
function firstForwardedProto(forwarded: string): string | undefined {
  return forwarded
    .slice(0, maxForwarded)
    .split(',', maxForwardedElements)
    .map((element) => parameterOf(element, 'proto'))
    .find((proto) => proto !== undefined);
}

function hostOf(request: IncomingMessage): string | undefined {
  const host =
    firstOf(header(request, 'x-forwarded-host')) ??
    parameterOf(firstOf(header(request, 'forwarded')), 'host');
  return host !== undefined && /^(?:[\w.-]{1,255}|\[[\da-f:.]{2,45}\])(?::\d{1,5})?$/i.test(host)
    ? host
    : undefined;
}

/** A parameter of an element of `Forwarded` (RFC 7239), such as `for="[2001:db8::1]:4711";proto=https`. */
function parameterOf(element: string | undefined, name: 'for' | 'proto' | 'host'): string | undefined {
  const pattern = new RegExp(`(?:^|;)\\s*${name}\\s*=\\s*(?:"([^"]*)"|([^;"\\s]*))\\s*(?:;|$)`, 'i');
  const [, quoted, plain] = pattern.exec(element ?? '') ?? [];
  return quoted ?? plain;
}

/**
 * The last address that no trusted proxy has, read from the right, where each proxy has appended. Clients can send both headers,
 * and most proxies set only one of them, so where the two disagree neither counts.
 * @param peer undefined for a Unix socket
 */
function clientAddress(
  request: IncomingMessage,
  peer: string | undefined,
  isTrusted: (address: string) => boolean,
): string | undefined {
  const [forwarded, plain] = [header(request, 'forwarded'), header(request, 'x-forwarded-for')];
  const found = new Set<string | undefined>();
  if (plain !== undefined) found.add(lastUntrusted(elementsFromRight(plain), peer, isTrusted));
  if (forwarded !== undefined) {
    const addresses = elementsFromRight(forwarded).map((element) => parameterOf(element, 'for') ?? '');
    found.add(lastUntrusted(addresses, peer, isTrusted));
  }
  const [address] = found;
  return found.size === 1 ? address : peer;
}

function lastUntrusted(
  fromRight: Iterable<string>,
  peer: string | undefined,
  isTrusted: (address: string) => boolean,
): string | undefined {
  let last = peer;
  for (const entry of fromRight) {
    const address = addressOf(entry);
    // `unknown`, an obfuscated name, or no address at all: whoever wrote it is the last that is known.
    if (address === undefined) return last;
    if (!isTrusted(address)) return address;
    last = address;
  }
  return last;
}

/** Proxies in a chain, and characters of an element. Clients may send more. */
const [maxProxies, maxElement] = [100, 512];

/** The elements of a list, read one by one. One that is too long is empty, so that it is no address. */
function* elementsFromRight(list: string): Generator<string, void> {
  let end = list.length;
  for (let count = 0; count < maxProxies && end >= 0; count++) {
    const comma = end === 0 ? -1 : list.lastIndexOf(',', end - 1);
    yield end - comma > maxElement ? '' : list.slice(comma + 1, end).trim();
    end = comma;
  }
}

/** An address without port, brackets and zone; one that is IPv4 mapped to IPv6 as IPv4. */
function addressOf(text: string): string | undefined {
  const [, bracketed, ipv4, plain = ''] =
    /^(?:\[([\da-f:.]+)\](?::\d{1,5})?|(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}|([\da-f:.]+)(?:%[\w.~-]{1,64})?)$/i.exec(
      text,
    ) ?? [];
  const address = (bracketed ?? ipv4 ?? plain).replace(/^::ffff:(?=\d+\.)/i, '');
  return isIP(address) === 0 ? undefined : address;
}

/** The first element of a list, without what is too long to be one. */
function firstOf(list: string | undefined): string | undefined {
  return list?.slice(0, maxElement).split(',', 1)[0]?.trim();
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
