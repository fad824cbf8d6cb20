import { readBucket, readEndpoint, readRoot } from './bucket.ts';
import { regionHost, regions } from '../storage/scs/client/regions.ts';
import { quoted, type Settings } from './settings.ts';
import type { ScsOptions } from '../storage/scs/store.ts';

export interface ScsConfig extends ScsOptions {
  readonly kind: 'scs';
}

const MiB = 1024 ** 2;

export const scsPrefix = 'REGISTRY_STORAGE_SCS_';

/** A bucket of SCS: the settings of the original registry, and `_REGIONENDPOINT`, `_SECURE`, `_SKIPVERIFY`. */
export function readScs(settings: Settings): ScsConfig {
  const secure = settings.flag('REGISTRY_STORAGE_SCS_SECURE', false);
  const endpoint = readEndpoint(settings, 'REGISTRY_STORAGE_SCS_REGIONENDPOINT', secure);
  return {
    kind: 'scs',
    // As in the original, since buckets of SCS are lower case.
    bucket: readBucket(settings, 'REGISTRY_STORAGE_SCS_BUCKET').toLowerCase(),
    accessKey: readKey(settings, 'REGISTRY_STORAGE_SCS_ACCESSKEY'),
    secretKey: readKey(settings, 'REGISTRY_STORAGE_SCS_SECRETKEY'),
    ...readLocation(settings, endpoint, secure),
    rootDirectory: readRoot(settings, 'REGISTRY_STORAGE_SCS_ROOTDIRECTORY'),
    partSize: settings.number('REGISTRY_STORAGE_SCS_CHUNKSIZE', 'bytes', {
      min: 5 * MiB,
      max: 1024 * MiB,
      fallback: 10 * MiB,
    }),
    skipVerify: settings.flag('REGISTRY_STORAGE_SCS_SKIPVERIFY', false),
  };
}

function readKey(settings: Settings, setting: string): string {
  const key = settings.text(setting);
  if (key === undefined) settings.fault(`${setting}: missing; both keys are on the account's page of SCS`);
  // Without the secret value.
  else if (!/^[\x21-\x7e]+$/.test(key)) settings.fault(`${setting}: must be ASCII without spaces`);
  return key ?? '';
}

/** An explicit endpoint overrides the region's. */
function readLocation(
  settings: Settings,
  endpoint: string | undefined,
  secure: boolean,
): Pick<ScsConfig, 'region' | 'endpoint'> {
  const setting = 'REGISTRY_STORAGE_SCS_REGION';
  const region = settings.text(setting)?.toLowerCase();
  if (endpoint !== undefined) return { region: undefined, endpoint };
  const host = region === undefined ? undefined : regionHost(region);
  if (region === undefined)
    settings.fault(`${setting}: missing; name the bucket's region, one of ${regions.join(', ')}`);
  else if (host === undefined)
    settings.fault(`${setting}: ${quoted(region)} is not one of ${regions.join(', ')}`);
  return { region, endpoint: `${secure ? 'https' : 'http'}://${host ?? ''}` };
}
