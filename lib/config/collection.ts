import type { Settings } from './settings.ts';

/** Of garbage collection (docs/garbage-collection.md). */
export interface CollectionConfig {
  /** Whether the function on a schedule collects. */
  readonly enabled: boolean;
  /** Whether manifests go that no tag reaches. */
  readonly deleteUntagged: boolean;
  /** From a mark to the deletions under it, in milliseconds. */
  readonly delayMs: number;
  /** Whether nothing but this release, or later ones, writes to the storage. */
  readonly exclusive: boolean;
  /** Must be the same for all instances. */
  readonly fence: {
    /** How long a change to a bucket of S3 is signed for, in milliseconds. */
    readonly lifetimeMs: number;
    /** How much later it may take effect, in milliseconds. */
    readonly marginMs: number;
  };
}

const hourMs = 3_600_000;

/** @param isServer whether the settings are those of a server that serves the whole registry */
export function readCollection(settings: Settings, isServer: boolean): CollectionConfig {
  const enabled = settings.flag('REGISTRY_GC_ENABLED', false);
  const exclusive = settings.flag('REGISTRY_GC_EXCLUSIVE', false);
  if (enabled && !exclusive)
    settings.fault(
      'REGISTRY_GC_ENABLED: needs REGISTRY_GC_EXCLUSIVE=true, which says that nothing else writes to the storage, neither distribution ' +
        'nor a release of this registry without garbage collection; set it, or remove REGISTRY_GC_ENABLED',
    );
  if (enabled && isServer)
    settings.warn(
      'REGISTRY_GC_ENABLED is for functions: a server does not collect garbage by itself, so run stowage gc once a day',
    );
  return {
    enabled,
    deleteUntagged: settings.flag('REGISTRY_GC_DELETEUNTAGGED', false),
    delayMs: settings.duration('REGISTRY_GC_DELAY', { min: 0, max: 90 * 24 * hourMs, fallback: 24 * hourMs }),
    exclusive,
    fence: {
      // A writer looks at what it needs and commits within it. Collections wait for as long.
      lifetimeMs: settings.duration('REGISTRY_GC_FENCE', { min: 5_000, max: hourMs, fallback: 120_000 }),
      marginMs: settings.duration('REGISTRY_GC_MARGIN', { min: 0, max: 24 * hourMs, fallback: 600_000 }),
    },
  };
}
