import { loadConfig } from '../../lib/config/config.ts';
import { openStore } from '../../lib/compose.ts';
import { ObjectNotFound } from '../../lib/storage/store.ts';
import type { Parameters } from '../stack/parameters.ts';
import { policyKey } from '../stack/environment.ts';

/** The policy of a first deployment: one administrator, and images that everybody may pull. */
export function firstPolicy(administrator: string): string {
  return `# Who may do what: docs/policy.md. A change is in force after 30 seconds.
groups:
  administrators: [${administrator}]
rules:                          # the first that matches decides; without a match it is denied
  - { name: public, who: '*', repositories: public/**, allow: [pull, list] }
  - { name: administrators, who: group:administrators, repositories: '**', allow: '*' }
`;
}

/**
 * Puts the policy into the registry's store, unless there is one.
 * @param store settings of the store, its keys included
 * @returns whether it was put
 */
export async function putFirstPolicy(
  store: Readonly<Record<string, string>>,
  administrator: string,
): Promise<boolean> {
  const { storage } = loadConfig('maintenance', store);
  const opened = await openStore(storage, { check: false });
  try {
    await opened.head(policyKey);
    return false;
  } catch (error) {
    if (!(error instanceof ObjectNotFound)) throw error;
  }
  await opened.put(policyKey, Buffer.from(firstPolicy(administrator)), { onlyIfAbsent: true });
  return true;
}

/** The settings of the store, without its keys. @param bucket its name */
export function storeSettings(
  { storage, region, rootDirectory, scsRegion, scsEndpoint, settings }: Parameters,
  bucket: string,
): Readonly<Record<string, string>> {
  const prefix = `REGISTRY_STORAGE_${storage.toUpperCase()}_`;
  const own = Object.entries(settings).filter(([name]) => name.startsWith('REGISTRY_STORAGE_'));
  const s3Region = storage === 's3' ? region : undefined;
  const given = {
    BUCKET: bucket,
    REGION: s3Region ?? scsRegion,
    REGIONENDPOINT: scsEndpoint,
    ROOTDIRECTORY: rootDirectory === '' ? undefined : rootDirectory,
    // As for the functions: who deploys may write the policy, and not the object by which servers are probed.
    CONDITIONALWRITES: storage === 's3' ? 'true' : undefined,
  };
  const entries = Object.entries(given).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return {
    ...Object.fromEntries(own),
    REGISTRY_STORAGE: storage,
    ...Object.fromEntries(entries.map(([name, value]) => [prefix + name, value])),
  };
}
