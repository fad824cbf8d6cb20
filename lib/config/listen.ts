import { resolve } from 'node:path';
import { defaultsOf } from './defaults.ts';
import { isLoopback } from './loopback.ts';
import type { Settings } from './settings.ts';
import { readTls, type TlsConfig } from './tls.ts';

/** Where a server listens: an address and port, or the path of a Unix socket. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** How the streaming server listens. */
export interface ListenConfig {
  readonly address: ListenAddress;
  /** Undefined for plain HTTP. */
  readonly tls: TlsConfig | undefined;
  /** HTTP/2 beside HTTP/1.1: over TLS if the client chooses it, without TLS if it begins with it (h2c). */
  readonly http2: boolean;
  /** Before all paths: empty, or such as `/my/prefix`. */
  readonly prefix: string;
  /** Headers of every response, unless the registry sets them itself. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
}

/** @param listens whether the program is a server; others share its environment and must take its settings */
export function readListen(settings: Settings, listens: boolean): ListenConfig {
  const tls = readTls(settings, listens);
  const http2Disabled = settings.flag('REGISTRY_HTTP_HTTP2_DISABLED', true);
  const h2c = settings.flag('REGISTRY_HTTP_H2C_ENABLED', false);
  if (h2c && tls !== undefined)
    settings.fault(
      'REGISTRY_HTTP_H2C_ENABLED: means HTTP/2 without TLS, and REGISTRY_HTTP_TLS_CERTIFICATE is set; remove it, and set REGISTRY_HTTP_HTTP2_DISABLED=false for HTTP/2 over TLS',
    );
  return {
    address: readAddress(settings),
    tls,
    http2: tls === undefined ? h2c : !http2Disabled,
    prefix: listens ? readPrefix(settings) : (settings.text('REGISTRY_HTTP_PREFIX'), ''),
    headers: readHeaders(settings),
  };
}

function readAddress(settings: Settings): ListenAddress {
  const name = 'REGISTRY_HTTP_ADDR';
  if (settings.choice('REGISTRY_HTTP_NET', ['tcp', 'unix'], 'tcp') === 'tcp')
    return settings.address(name, defaultsOf(settings).address);
  const path = settings.text(name);
  if (path === undefined)
    settings.fault(
      `${name}: missing; REGISTRY_HTTP_NET=unix needs a path, such as /run/stowage/registry.sock`,
    );
  // The limit of the system (unix(7)), beyond which it cuts the path.
  else if (Buffer.byteLength(resolve(path)) > 107)
    settings.fault(`${name}: has more than 107 bytes, the limit of Unix sockets`);
  return { path: resolve(path ?? 'registry.sock') };
}

/**
 * Whether only this machine is reached. A Unix socket does not count: it is there for a proxy, which other machines reach.
 */
export function isLocal(address: ListenAddress): boolean {
  return 'host' in address && isLoopback(address.host);
}

/** The settings that repeat an address, for a command line in a message. */
export function describeAddress(address: ListenAddress): string {
  if ('path' in address) return `REGISTRY_HTTP_NET=unix REGISTRY_HTTP_ADDR=${address.path}`;
  return `REGISTRY_HTTP_ADDR=${address.host === '::' ? '' : address.host}:${address.port}`;
}

/** A prefix needs no encoding and has no dots that a client would resolve. */
export const prefixPattern = /^\/(?:(?!\.{1,2}\/)[\w.~-]+\/)*$/;

function readPrefix(settings: Settings): string {
  const name = 'REGISTRY_HTTP_PREFIX';
  const text = settings.text(name) ?? '/';
  if (!prefixPattern.test(text))
    settings.fault(
      `${name}: must begin and end with a slash, such as /my/prefix/, and have nothing but letters, digits and - . _ ~ between slashes`,
    );
  return text.slice(0, -1);
}

/** Headers that describe one response or its connection. */
const ownHeaders = new RegExp(
  `^(?:${[
    'accept-ranges|age|allow|cache-control|connection|date|etag|expires|keep-alive|last-modified|link|location',
    'content-(?:disposition|encoding|language|length|location|md5|range|type)|digest|range|repr-digest|retry-after',
    'trailer|transfer-encoding|te|upgrade|vary|via|www-authenticate|proxy-.*|docker-.*|oci-.*|x-request-id|:.*',
  ].join('|')})$`,
);

function readHeaders(settings: Settings): ListenConfig['headers'] {
  const name = 'REGISTRY_HTTP_HEADERS';
  const given = settings.json(name);
  if (given === undefined) return {};
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    settings.fault(
      `${name}: must be a map of each header to a list of values, such as {"X-Content-Type-Options": ["nosniff"]}`,
    );
    return {};
  }
  const entries = Object.entries(given).map(([header, values]) => readHeader(settings, header, values));
  return Object.fromEntries(entries);
}

function readHeader(settings: Settings, header: string, values: unknown): [string, readonly string[]] {
  const name = 'REGISTRY_HTTP_HEADERS';
  const shown = /^[\w-]{1,64}$/.test(header) ? header : JSON.stringify(header.slice(0, 64));
  const list: readonly unknown[] = Array.isArray(values) ? values : [values];
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(header)) settings.fault(`${name}: ${shown} is no name of a header`);
  else if (ownHeaders.test(header.toLowerCase()))
    settings.fault(`${name}: ${shown} is a header that the registry itself sets or HTTP needs; remove it`);
  // Visible characters, and blanks between them (RFC 9110, section 5.5).
  const isValue = (value: unknown) =>
    typeof value === 'number' ||
    typeof value === 'boolean' ||
    /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/.test(String(value));
  const texts = list.filter((value) => typeof value !== 'object' && isValue(value)).map(String);
  if (texts.length < list.length || list.length === 0)
    settings.fault(`${name}: ${shown} must have a list of texts in printable ASCII`);
  return [header, texts];
}
