import { lookup as lookupName, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';

/** A host that this registry was told to ask is at no public address, and nothing says that it may be. */
export class AddressRefused extends Error {
  override readonly name = 'AddressRefused';

  /** @param remedy which setting permits it */
  constructor(host: string, address: string, remedy: string) {
    super(`${host} is at ${address}, which is not a public address: ${remedy}`);
  }
}

/** Services of clouds at addresses that IANA counts as public: Azure's, of virtual machines alone. */
const cloudServices = new Set(['168.63.129.16']);

/** IPv6 addresses by which networks without IPv4 reach the IPv4 address in their last bits (RFC 6052). */
const nat64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96');

/**
 * Whether an address is one of the public internet: not private, link-local, loopback, shared, reserved or multicast, nor an IPv6 address
 * that stands for such an IPv4 address.
 */
export function isPublicAddress(text: string): boolean {
  if (!ipaddr.isValid(text)) return false;
  const address = ipaddr.process(text);
  if (address instanceof ipaddr.IPv6 && address.match(nat64))
    return isPublicAddress(ipaddr.fromByteArray(address.toByteArray().slice(-4)).toString());
  if (address.range() !== 'unicast' || cloudServices.has(address.toString())) return false;
  // IANA has given out 2000::/3 alone. The rest has forms that stand for IPv4 addresses, such as ::127.0.0.1.
  return !(address instanceof ipaddr.IPv6) || (address.parts[0] ?? 0) >> 13 === 0b001;
}

/**
 * A lookup for connections that finds only public addresses. Node connects to what it returns, so a name is resolved once for each
 * connection, and no other answer of the DNS can take its place.
 */
export function publicLookup(remedy: string): LookupFunction {
  return (host, options, callback) => {
    lookupName(host, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      if (error !== null) {
        callback(error, '');
        return;
      }
      const found = addresses.filter(({ address }) => isPublicAddress(address));
      const [first] = found;
      if (first === undefined) callback(new AddressRefused(host, String(addresses[0]?.address), remedy), '');
      else if (options.all === true) callback(null, found);
      else callback(null, first.address, first.family);
    });
  };
}

/** For hosts that are addresses, which are never looked up. @throws AddressRefused */
export function assertPublicHost({ hostname }: URL, remedy: string): void {
  const host = hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0 && !isPublicAddress(host)) throw new AddressRefused(host, host, remedy);
}
