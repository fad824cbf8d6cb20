import type { Platform } from '../../protocol/manifest-fields.ts';
import type { Child } from '../../protocol/manifests.ts';

/** The entries of an index that must exist when it is pushed: distribution's `validation.manifests.indexes.platforms`. */
export type RequiredPlatforms = 'all' | 'none' | readonly Platform[];

/** Whether an entry of an index must exist. With a list of platforms, entries without a platform must as well. */
export function isRequired({ platform }: Pick<Child, 'platform'>, required: RequiredPlatforms): boolean {
  if (typeof required === 'string') return required === 'all';
  return (
    platform === undefined ||
    required.some(({ os, architecture }) => os === platform.os && architecture === platform.architecture)
  );
}
