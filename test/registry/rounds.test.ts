import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import type { Chunk } from '../../lib/registry/interface.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { digestOf } from '../../lib/registry/uploads/content-hash.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { descriptor, manifest } from '../functions/client.ts';
import { intercepted } from './interrupted.ts';
import { MemoryStore } from './memory-store.ts';

/** A store that answers all calls of one moment together, and counts these rounds. */
function inRounds(store: ObjectStore): { readonly store: ObjectStore; readonly rounds: () => number } {
  let rounds = 0;
  let round: Promise<void> | undefined;
  const start = async () => {
    rounds += 1;
    await new Promise((resolve) => setImmediate(resolve));
    round = undefined;
  };
  return {
    store: intercepted(store, async () => {
      await (round ??= start());
    }),
    rounds: () => rounds,
  };
}

const name = parseRepositoryName('team/app');
const [config, layer] = [randomBytes(40), randomBytes(50)];
const image = manifest({ config: descriptor(config), layers: [descriptor(layer)] });

function stream(bytes: Buffer): Chunk {
  const body = (async function* () {
    yield await Promise.resolve(bytes);
  })();
  return { body, start: 0, length: undefined, partial: false };
}

describe('requests to the bucket in a row', () => {
  const memory = inRounds(new MemoryStore({ conditionalWrites: true, copies: true, partsReplace: true }));
  const registry = createRegistry(memory.store);
  const { blobs, uploads, manifests } = registry;

  const rounds = async (act: () => Promise<unknown>): Promise<number> => {
    const before = memory.rounds();
    await act().catch(() => undefined);
    return memory.rounds() - before;
  };

  it('are 6 for a push of a small blob', async () => {
    for (const bytes of [config, layer]) {
      const digest = digestOf(bytes, 'sha256');
      let id = '';
      assert.deepEqual(
        [
          await rounds(async () => await blobs.stat(name, digest, { isExpected: false })),
          await rounds(async () => (id = await uploads.start(name))),
          await rounds(async () => await uploads.append(name, id, stream(bytes))),
          await rounds(async () => await uploads.finish(name, id, digest, undefined)),
        ],
        [1, 1, 1, 3],
      );
    }
  });

  it('are 4 for a push of a manifest by tag, however many blobs it names', async () => {
    const push = async () => await manifests.put(name, parseReference('v1'), image, undefined);
    assert.equal(await rounds(push), 4);
  });

  it('are 2 for a manifest by tag, and 1 when its tag and its content are known', async () => {
    const get = async () => await manifests.get(name, parseReference('v1'));
    assert.equal(await rounds(get), 2);
    assert.equal(await rounds(get), 1);
  });

  it('are 1 for a blob, and 5 for a delete of a manifest with its tag', async () => {
    const digest = digestOf(layer, 'sha256');
    const other = createRegistry(memory.store);
    assert.equal(await rounds(async () => await other.blobs.stat(name, digest)), 1);
    const all = parseReference(digestOf(image, 'sha256'));
    assert.equal(
      await rounds(async () => {
        await manifests.delete(name, all);
      }),
      5,
    );
  });
});
