import assert from 'node:assert/strict';
import { copyImage } from '../../lib/copy/copy-image.ts';
import { fromStorage } from '../../lib/copy/from-storage.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { collectAll, pause, unitMs } from '../maintenance/collection/collecting.ts';
import { freshName, pull, pushImage, pushIndex, remove, v1 } from '../registry/undo/images.ts';
import { interrupted } from '../registry/interrupted.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { attach } from './attached.ts';

/** What became of a promotion beside a collection. */
export interface Outcome {
  /** Whether the collection has a call with this number. */
  readonly happened: boolean;
  /** Whether the image was still there to be promoted. */
  readonly isPromoted: boolean;
}

/**
 * Promotes an image before a call of the collection that takes it, with its signature, since its tag is gone. Then all that is left is
 * collected.
 * @param at number of the call, from 0
 */
export async function promoteBeside(at: number): Promise<Outcome> {
  const folder = await temporaryFolder('promoted');
  try {
    const store = await FilesystemStore.open(folder.path);
    const [from, to] = [freshName(), freshName()];
    const index = await pushIndex(
      store,
      from,
      [await pushImage(store, from), await pushImage(store, from)],
      'v1',
    );
    const signature = await attach(store, from, { digest: index, size: 1 });
    await remove(store, from, 'v1');
    await pause(unitMs);
    let outcome: unknown;
    const between = interrupted(store, at, async () => {
      outcome = await promote(store).catch((error: unknown) => error);
    });
    await collectAll(between.store);
    await collectAll(store);
    const isPromoted = between.happened() && !(outcome instanceof Error);
    assert.equal(await pull(store, to, v1), isPromoted ? index : undefined, `promoted before call ${at}`);
    if (isPromoted) assert.equal(await pull(store, to, signature), signature, `promoted before call ${at}`);
    else if (outcome instanceof Error)
      assert.match(outcome.message, /unknown|is gone|not in this repository/);
    return { happened: between.happened(), isPromoted };

    async function promote(on: ObjectStore): Promise<void> {
      const registry = createRegistry(on);
      const target = { registry, name: to, immutable: undefined, pushedBy: 'operator:test' };
      await copyImage(fromStorage(on, registry, from), target, parseReference(index), {
        tag: v1,
        referrers: true,
      });
    }
  } finally {
    folder.remove();
  }
}
