import type { ListenAddress } from './listen.ts';
import { isLoopback } from './loopback.ts';
import type { Settings } from './settings.ts';

/** The debug server, which must not be reachable for clients. */
export interface DebugConfig {
  readonly address: { readonly host: string; readonly port: number };
  /** Where the metrics are; undefined for none. */
  readonly metricsPath: string | undefined;
}

const addressName = 'REGISTRY_HTTP_DEBUG_ADDR';
const enabledName = 'REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED';
const pathName = 'REGISTRY_HTTP_DEBUG_PROMETHEUS_PATH';

/**
 * Unlike distribution's, it has metrics unless they are switched off.
 * @param publicAddress of the registry itself; undefined for programs that do not listen, which share the settings and have none
 */
export function readDebug(
  settings: Settings,
  publicAddress: ListenAddress | undefined,
): DebugConfig | undefined {
  // Nothing listens by default.
  const address =
    settings.text(addressName) === undefined
      ? undefined
      : settings.address(addressName, { host: '127.0.0.1', port: 0 });
  const enabled = settings.optionalFlag(enabledName);
  const path = settings.text(pathName) ?? '/metrics';
  if (!/^(\/[\w.~-]+)+$/.test(path)) settings.fault(`${pathName}: not a path such as /metrics`);
  if (path === healthPath)
    settings.fault(`${pathName}: ${healthPath} is taken; use another, such as /metrics`);
  if (enabled === true && address === undefined)
    settings.fault(
      `${enabledName}: needs ${addressName}, the address of the debug server, such as 127.0.0.1:5001`,
    );
  const publicPort = publicAddress !== undefined && 'port' in publicAddress ? publicAddress.port : 0;
  if (address?.port === publicPort && publicPort !== 0)
    settings.fault(
      `${addressName}: the port ${address.port} is that of the registry, and metrics must not be public; set another, such as 127.0.0.1:5001`,
    );
  // Containers have no other way, so it is not refused.
  if (address !== undefined && publicAddress !== undefined && !isLoopback(address.host))
    settings.warn(
      `${addressName}: whoever reaches ${address.host} port ${address.port} reads ${enabled === false ? 'its health' : 'metrics'} without a login; use 127.0.0.1, or let only Prometheus reach the port`,
    );
  return address !== undefined && publicAddress !== undefined
    ? { address, metricsPath: enabled === false ? undefined : path }
    : undefined;
}

export const healthPath = '/debug/health';
