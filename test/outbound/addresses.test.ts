import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isPublicAddress } from '../../lib/outbound/addresses.ts';

/** One of each range of IANA's registries of special-purpose addresses, and of what clouds have at addresses of their own. */
const special: Readonly<Record<string, readonly string[]>> = {
  'of this network': ['0.0.0.0', '0.1.2.3', '::'],
  private: ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.0.1', 'fc00::1', 'fdff::1'],
  shared: ['100.64.0.1', '100.127.255.255'],
  loopback: ['127.0.0.1', '127.255.255.255', '::1'],
  'link-local': ['169.254.0.1', 'fe80::1', 'febf::1'],
  'site-local': ['fec0::1'],
  'of protocols': [
    '192.0.0.1',
    '192.0.0.255',
    '192.88.99.1',
    '2001:1::1',
    '2001:20::1',
    '2001:30::1',
    '5f00::1',
  ],
  'for documentation': ['192.0.2.1', '198.51.100.1', '203.0.113.1', '2001:db8::1', '3fff::1'],
  'for benchmarks': ['198.18.0.1', '198.19.255.255', '2001:2::1'],
  multicast: ['224.0.0.1', '239.255.255.255', 'ff02::1'],
  reserved: ['240.0.0.1', '255.255.255.255', '100::1', '4000::1'],
  'of clouds': [
    // Of AWS, Azure, Google Cloud and OpenStack; Azure; Alibaba; Oracle.
    ...['169.254.169.254', '168.63.129.16', '100.100.100.200', '192.0.0.192'],
    ...['fd00:ec2::254', 'fd20:ce::254', '169.254.170.2'],
  ],
  'IPv6 for an IPv4 address': [
    ...['::127.0.0.1', '::ffff:127.0.0.1', '::ffff:0:10.0.0.1', '::ffff:168.63.129.16'],
    ...['2002:7f00:1::1', '2002:808:808::1', '2001:0:808:808::1'],
    ...['64:ff9b::127.0.0.1', '64:ff9b::10.0.0.1', '64:ff9b::168.63.129.16', '64:ff9b:1::808:808'],
  ],
  'no address': ['', 'localhost', '127.1.example', '1.2.3.4/8'],
};

describe('an address that is not public', () => {
  for (const [what, addresses] of Object.entries(special))
    it(`is one ${what}`, () => {
      assert.deepEqual(addresses.filter(isPublicAddress), []);
    });
});

it('public addresses are those beside, also where a network without IPv4 translates them', () => {
  const addresses = [
    ...['1.1.1.1', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '126.255.255.255'],
    ...['168.63.129.15', '169.253.255.255', '172.15.255.255', '172.32.0.0', '192.0.1.0', '192.167.0.1'],
    ...['198.17.255.255', '198.20.0.0', '223.255.255.255'],
    ...['2606:4700::1111', '2001:4860:4860::8888', '::ffff:1.1.1.1', '64:ff9b::1.1.1.1'],
  ];
  assert.deepEqual(
    addresses.filter((address) => !isPublicAddress(address)),
    [],
  );
});
