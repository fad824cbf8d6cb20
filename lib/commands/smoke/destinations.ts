import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { BlockList } from 'node:net';
import { isLoopbackUrl } from '../login/request.ts';
import { SmokeFailure } from './failure.ts';

/** Whether a registry at `base` may lead to a URL: to https, or, where it is itself at http on this machine, to http there. */
export function isSafeUrl(url: URL, base: URL): boolean {
  if (url.protocol === 'https:') return true;
  return [url, base].every((one) => one.protocol === 'http:' && isLoopbackUrl(one));
}

/**
 * Where a run may connect. A registry names hosts in realms, Locations and redirects, and could so have requests sent to whatever
 * only this machine reaches.
 */
export class Destinations {
  readonly #base: URL;
  /** Each name is resolved once, so that it cannot lead elsewhere after it was looked at. */
  readonly #resolved = new Map<string, Promise<LookupAddress[]>>();

  /** @param base URL of the registry, which the user named */
  constructor(base: URL) {
    this.#base = base;
  }

  /**
   * The addresses of a URL's host that may be connected to.
   * @param asked for the message
   * @throws SmokeFailure where there are none; the error of the resolver
   */
  async addressesOf(url: URL, asked: string): Promise<LookupAddress[]> {
    if (!isSafeUrl(url, this.#base))
      throw new SmokeFailure({
        asked,
        came: `the registry points at ${url.origin}, which is not on https; nothing was sent there`,
        change:
          'Set REGISTRY_HTTP_HOST (and REGISTRY_HTTP_DATAPLANE) to https URLs; a proxy that ends TLS must send X-Forwarded-Proto',
      });
    const addresses = await this.#resolve(url.hostname);
    if (url.hostname === this.#base.hostname) return addresses;
    const widest = widestOf(await this.#resolve(this.#base.hostname));
    const allowed = addresses.filter((one) => networks.indexOf(networkOf(one)) <= networks.indexOf(widest));
    if (allowed.length > 0) return allowed;
    throw new SmokeFailure({
      asked,
      came: `the registry points at ${url.origin}, whose address ${addresses.map(({ address }) => address).join(', ')} is not public; nothing was sent there`,
      change:
        'Clients elsewhere cannot reach it: set REGISTRY_HTTP_HOST (and REGISTRY_HTTP_DATAPLANE, and the public address of the bucket) to hosts with public addresses. If all of it is private, give a URL whose host has a private address too',
    });
  }

  async #resolve(hostname: string): Promise<LookupAddress[]> {
    let found = this.#resolved.get(hostname);
    if (found === undefined) {
      found = lookup(hostname.replace(/^\[|\]$/g, ''), { all: true });
      this.#resolved.set(hostname, found);
    }
    return await found;
  }
}

/** What reaches more stands later: from a registry on this machine, requests to anywhere are its user's own. */
const networks = ['public', 'private', 'local'] as const;
type Network = (typeof networks)[number];

/** Of a registry with several addresses the least counts, since a hostile one can add others to its own. */
function widestOf(addresses: readonly LookupAddress[]): Network {
  const found = new Set(addresses.map(networkOf));
  return networks.find((network) => found.has(network)) ?? 'public';
}

function networkOf({ address, family }: LookupAddress): Network {
  const [plain = ''] = address.split('%', 1);
  const kind = family === 6 ? 'ipv6' : 'ipv4';
  if (local.check(plain, kind)) return 'local';
  return closed.check(plain, kind) ? 'private' : 'public';
}

/*
 * From the IANA IPv4 and IPv6 Special-Purpose Address Registries. An address of IPv4 that is mapped to IPv6 is found as well.
 * Link-local addresses are those of this machine's link, such as that of a cloud's metadata.
 */
const local = blockList(
  ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16'],
  ['::/128', '::1/128', 'fe80::/10', '64:ff9b::7f00:0/104', '64:ff9b::a9fe:0/112'],
);
const closed = blockList(
  [
    '10.0.0.0/8',
    '100.64.0.0/10',
    '172.16.0.0/12',
    '192.168.0.0/16',
    '192.0.0.0/24',
    '198.18.0.0/15',
    '224.0.0.0/3',
  ],
  [
    'fc00::/7',
    'fec0::/10',
    'ff00::/8',
    '64:ff9b:1::/48',
    '64:ff9b::a00:0/104',
    '64:ff9b::ac10:0/108',
    '64:ff9b::c0a8:0/112',
  ],
);

function blockList(ipv4: readonly string[], ipv6: readonly string[]): BlockList {
  const list = new BlockList();
  const add = (subnet: string, family: 'ipv4' | 'ipv6') => {
    const [address = '', prefix] = subnet.split('/');
    list.addSubnet(address, Number(prefix), family);
  };
  for (const subnet of ipv4) add(subnet, 'ipv4');
  for (const subnet of ipv6) add(subnet, 'ipv6');
  return list;
}
