import type { Child } from '../../protocol/manifests.ts';

/** An operating system and an architecture, as Go names them. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
}

/** Of an index, which manifests must be there when it is pushed: distribution's `validation.manifests.indexes.platforms`. */
export type RequiredPlatforms = 'all' | 'none' | readonly Platform[];

/** Whether a manifest of an index must be there. One that names no platform must be, where a list says which. */
export function isRequired({ platform }: Pick<Child, 'platform'>, required: RequiredPlatforms): boolean {
  if (typeof required === 'string') return required === 'all';
  return (
    platform === undefined ||
    required.some(({ os, architecture }) => os === platform.os && architecture === platform.architecture)
  );
}
