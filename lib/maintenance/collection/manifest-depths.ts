import { has } from './listed-repository.ts';
import type { SeenRepository } from './look.ts';

/** Deeper ones count as this deep: an index of indexes of indexes. */
const maxDepth = 2;

/** How deep the manifests of a repository that nothing needs are below others of them. */
export class ManifestDepths {
  readonly #depths = new Map<number, number>();

  constructor({ listed, named }: Pick<SeenRepository, 'listed' | 'named'>) {
    const { flags } = listed;
    const goes = (number: number) => flags.has(number, has.revision) && !flags.has(number, has.needed);
    let level = [...named.manifests.keys()].filter(goes);
    for (let depth = 1; depth <= maxDepth && level.length > 0; depth++) {
      const below = new Set<number>();
      for (const manifest of level)
        for (const child of named.manifests.get(manifest)?.names ?? []) if (goes(child)) below.add(child);
      for (const child of below) this.#depths.set(child, depth);
      level = [...below];
    }
  }

  /** 0 if none of them names it. */
  of(manifest: number): number {
    return this.#depths.get(manifest) ?? 0;
  }
}
