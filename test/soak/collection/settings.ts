/** The waits of collections, cut to seconds. A fence must last longer than a loaded machine takes for a push. */
export const delayMs = 4_000;
export const fenceMs = 8_000;
export const marginMs = 2_000;

/** What registries and collections read. */
export const collectionSettings = {
  REGISTRY_GC_DELAY: `${delayMs}ms`,
  REGISTRY_GC_FENCE: `${fenceMs}ms`,
  REGISTRY_GC_MARGIN: `${marginMs}ms`,
} as const;
