import type { Environment } from './variables.ts';

/**
 * Whether Kubernetes set a variable for a Service: REGISTRY_PORT=tcp://… and others for "registry",
 * REGISTRY_UI_SERVICE_HOST and others for "registry-ui".
 */
export function isServiceLink(environment: Environment, name: string, value: string): boolean {
  if (name === 'REGISTRY_PORT') return /^(tcp|udp|sctp):\/\//.test(value);
  if (/^REGISTRY_(PORT|SERVICE_HOST|SERVICE_PORT)(_|$)/.test(name)) return true;
  const [, service] = /^(REGISTRY_\w+?)_(?:PORT|SERVICE_HOST|SERVICE_PORT)(?:_|$)/.exec(name) ?? [];
  return service !== undefined && environment[`${service}_SERVICE_HOST`] !== undefined;
}
