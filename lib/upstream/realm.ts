import { isIP } from 'node:net';
import { UpstreamError } from './upstream.ts';

/**
 * Reads the realm of a challenge: where the token service of a registry is. A registry could otherwise have its credentials, or requests
 * of this machine, sent anywhere.
 * @throws UpstreamError denied, unless it is on the registry's own host or registrable domain, and on https where the registry is
 */
export async function trustedRealm(text: string, registry: URL): Promise<URL> {
  const realm = URL.parse(text);
  if (realm === null || (realm.protocol !== 'https:' && realm.protocol !== 'http:'))
    throw refused(registry, text, 'which is no URL of a token service');
  if (realm.username !== '' || realm.password !== '')
    throw refused(registry, realm.origin, 'with credentials in its URL');
  if (realm.protocol === 'http:' && registry.protocol === 'https:')
    throw refused(registry, realm.origin, 'which is not on https');
  if (realm.hostname !== registry.hostname && !(await haveOneOwner(realm.hostname, registry.hostname)))
    throw refused(
      registry,
      realm.origin,
      'which is on another domain than the registry, so nothing was sent there',
    );
  return realm;
}

/**
 * By the Public Suffix List, which is some 100 KB and so loaded by need: hosts below a suffix where anyone may register a name, such as
 * github.io, have different owners.
 */
async function haveOneOwner(one: string, other: string): Promise<boolean> {
  if ([one, other].some((host) => isIP(host.replace(/^\[|\]$/g, '')) !== 0)) return false;
  const { getDomain } = await import('tldts');
  const [first, second] = [one, other].map((host) => getDomain(host, { allowPrivateDomains: true }));
  return typeof first === 'string' && first === second;
}

function refused({ host }: URL, realm: string, why: string): UpstreamError {
  return new UpstreamError(
    'denied',
    `${host} names a token service at ${JSON.stringify(realm.slice(0, 200))}, ${why}`,
  );
}
