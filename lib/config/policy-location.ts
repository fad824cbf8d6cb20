import { resolve } from 'node:path';
import { readPath } from './files.ts';
import type { Settings } from './settings.ts';

/** Where a policy file is. */
export type PolicyLocation =
  { readonly kind: 'file'; readonly path: string } | { readonly kind: 'object'; readonly key: string };

/**
 * Reads `<prefix>_PATH` and `<prefix>_OBJECT`, of which one may be set.
 * @param remedy if the file cannot be read
 * @returns undefined if none is set
 */
export function readPolicyLocation(
  settings: Settings,
  prefix: string,
  remedy: string,
): PolicyLocation | undefined {
  const path = readPath(settings, `${prefix}_PATH`, remedy);
  const key = settings.text(`${prefix}_OBJECT`);
  if (path !== undefined && key !== undefined)
    settings.fault(`${prefix}_OBJECT: ${prefix}_PATH is set as well; remove one of them`);
  if (key !== undefined && (key.startsWith('docker/') || !/^[\w.-]+(\/[\w.-]+)*$/.test(key)))
    settings.fault(
      `${prefix}_OBJECT: must be a key such as stowage/policy.yaml, and not below docker/, where the images are`,
    );
  if (key !== undefined) return { kind: 'object', key };
  return path === undefined ? undefined : { kind: 'file', path: resolve(path) };
}
