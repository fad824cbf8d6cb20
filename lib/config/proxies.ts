import { isIP, isIPv6 } from 'node:net';
import type { Settings } from './settings.ts';

/** A range of addresses. A single address is one of its full length. */
export interface Subnet {
  readonly address: string;
  /** Bits that all its addresses have in common. */
  readonly prefix: number;
  readonly family: 'ipv4' | 'ipv6';
}

/** The proxies whose headers about their clients are believed: addresses and ranges, such as `10.0.0.0/8, ::1`. */
export function readTrustedProxies(settings: Settings): readonly Subnet[] {
  const name = 'REGISTRY_HTTP_TRUSTEDPROXIES';
  const entries = entriesOf(settings.text(name) ?? '');
  return entries.flatMap((entry) => {
    const subnet = parseSubnet(entry);
    if (subnet === undefined)
      settings.fault(
        `${name}: ${shown(entry)} is no address nor a range of them, such as 10.0.0.7 or 10.0.0.0/8; write an address itself, not a name`,
      );
    else if (subnet.prefix === 0)
      settings.warn(
        `${name}: ${entry} is every address of ${families[subnet.family]}, so any client can choose the address that it is known by; name only your proxies`,
      );
    return subnet ?? [];
  });
}

const families = { ipv4: 'IPv4', ipv6: 'IPv6' } as const;

/** An entry for a message. Anything else may be a misplaced password. */
function shown(entry: string): string {
  return /^[\w.:/-]{1,64}$/.test(entry) ? JSON.stringify(entry) : 'an entry';
}

/** Separated by commas or blanks; a list of the configuration file comes as JSON. */
function entriesOf(text: string): string[] {
  return text.split(/[\s,[\]"']+/).filter((entry) => entry !== '');
}

/** Ranges of IPv4 addresses that are mapped to IPv6 (`::ffff:10.0.0.0/104`) are ranges of IPv4. */
function parseSubnet(text: string): Subnet | undefined {
  const [address = '', length, ...others] = text.split('/');
  if (isIP(address) === 0 || others.length > 0) return undefined;
  const [family, bits] = isIPv6(address) ? (['ipv6', 128] as const) : (['ipv4', 32] as const);
  const prefix = length === undefined ? bits : Number(length);
  if (!/^\d{1,3}$/.test(length ?? '0') || prefix > bits) return undefined;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  return mapped !== undefined && prefix >= 96
    ? { address: mapped, prefix: prefix - 96, family: 'ipv4' }
    : { address, prefix, family };
}
