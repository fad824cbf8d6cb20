import type { Settings } from './settings.ts';

/** Of garbage collection (docs/garbage-collection.md). */
export interface CollectionConfig {
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

export function readCollection(settings: Settings): CollectionConfig {
  return {
    delayMs: settings.duration('REGISTRY_GC_DELAY', { min: 0, max: 90 * 24 * hourMs, fallback: 24 * hourMs }),
    exclusive: settings.flag('REGISTRY_GC_EXCLUSIVE', false),
    fence: {
      // A view of a writer serves for a minute, and a signature of S3 lasts a week at most.
      lifetimeMs: settings.duration('REGISTRY_GC_FENCE', { min: 1_000, max: hourMs, fallback: 120_000 }),
      marginMs: settings.duration('REGISTRY_GC_MARGIN', { min: 0, max: 24 * hourMs, fallback: 600_000 }),
    },
  };
}
