import type { Parameters } from '../parameters.ts';
import { ref, type Value } from '../template.ts';

/** The address of the instance, and the one address of both planes. It outlives the instance. */
export const instanceAddress = ref('DataPlaneAddress');

/**
 * Settings of the functions behind the instance: its address, as that of a proxy whose headers about clients are believed.
 * CloudFront has too many addresses to name them.
 */
export function proxySettings({ address }: Pick<Parameters, 'address'>): Readonly<Record<string, Value>> {
  return address === 'instance' ? { REGISTRY_HTTP_TRUSTEDPROXIES: instanceAddress } : {};
}
