import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { parseReference } from '../../../lib/protocol/references.ts';
import type { Registry } from '../../../lib/registry/interface.ts';
import type { Fencing, ObjectStore } from '../../../lib/storage/store.ts';
import { onVersitygw, type Buckets } from '../../servers/buckets.ts';
import { requires } from '../../servers/requires.ts';
import { announcing, registryOn } from './deliveries.ts';
import { blobOf, Place } from './writes.ts';

/** What a write asks of its bucket. */
interface Asked {
  /** By method, each of which is one request of what is tested here. */
  readonly requests: Record<string, number>;
  /** Round trips: requests that begin only after another has ended. */
  steps: number;
}

/** Counts the calls of a store. Each comes one step after the last of those that had ended when it began. */
function counted<S extends ObjectStore | Fencing>(store: S, asked: Asked): S {
  let ended = 0;
  return new Proxy(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (property === 'fencing' && value !== undefined) return counted(value as Fencing, asked);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => {
        const step = ended + 1;
        const method = String(property);
        asked.requests[method] = (asked.requests[method] ?? 0) + 1;
        try {
          return await (Reflect.apply(value, target, args) as Promise<unknown>);
        } finally {
          ended = Math.max(ended, step);
          asked.steps = Math.max(asked.steps, step);
        }
      };
    },
  });
}

type Prepare = (at: Place) => Promise<(registry: Registry) => Promise<unknown>>;

describe('requests to the bucket of announced writes', requires(...onVersitygw.needs), () => {
  let buckets: Buckets;
  let store: ObjectStore & { close?(): void };

  before(async () => {
    buckets = await onVersitygw.start();
    store = await (await buckets.newBucket()).open();
  });

  after(async () => {
    store.close?.();
    await buckets.stop();
  });

  /** Of a process that has its view of collections. */
  async function ask(prepare: Prepare, registryFor: (store: ObjectStore) => Registry): Promise<Asked> {
    const asked: Asked = { requests: {}, steps: 0 };
    const registry = registryFor(counted(store, asked));
    const at = new Place(store);
    await registry.blobs.mount(at.name, await at.blob(), at.name);
    const write = await prepare(at);
    for (const method of Object.keys(asked.requests)) asked.requests[method] = 0;
    const before = asked.steps;
    await write(registry);
    const requests = Object.entries(asked.requests).filter(([, count]) => count > 0);
    return { requests: Object.fromEntries(requests), steps: asked.steps - before };
  }

  const type = 'application/vnd.oci.image.manifest.v1+json';
  const cases: Readonly<Record<string, { prepare: Prepare; steps: number; asPuts?: number }>> = {
    'a push of a manifest by tag': {
      // The look back at its link becomes a write, which says that the push was made.
      asPuts: 1,
      prepare: async (at) => {
        const { bytes } = await at.image();
        return async ({ manifests }) => await manifests.put(at.name, parseReference('v1'), bytes, type);
      },
      steps: 0,
    },
    'a push of a manifest by digest': {
      prepare: async (at) => {
        const { bytes, digest } = await at.image();
        return async ({ manifests }) => await manifests.put(at.name, parseReference(digest), bytes, type);
      },
      steps: 0,
    },
    'a push of a blob': {
      prepare: async (at) => {
        const { digest, blob } = blobOf(randomBytes(100));
        return await Promise.resolve(
          async ({ uploads }: Registry) => await uploads.put(at.name, digest, blob),
        );
      },
      steps: 0,
    },
    'a mount': {
      prepare: async (at) => {
        const from = new Place(store);
        const digest = await from.blob();
        return async ({ blobs }) => await blobs.mount(at.name, digest, from.name);
      },
      steps: 0,
    },
    'a delete of a tag': {
      prepare: async (at) => {
        await at.pushed('v1');
        return async ({ manifests }) => {
          await manifests.delete(at.name, parseReference('v1'));
        };
      },
      steps: 0,
    },
    'a delete of a manifest': {
      prepare: async (at) => {
        const digest = await at.pushed('v1');
        return async ({ manifests }) => {
          await manifests.delete(at.name, parseReference(digest));
        };
      },
      steps: 0,
    },
    'a delete of a blob': {
      prepare: async (at) => {
        const digest = await at.blob();
        return async ({ blobs }) => {
          await blobs.delete(at.name, digest);
        };
      },
      steps: 1,
    },
  };

  for (const [what, { prepare, steps, asPuts = 0 }] of Object.entries(cases))
    it(`are one more for ${what}, ${steps === 0 ? 'and no round trip' : 'in a round trip of its own'}`, async () => {
      const plain = await ask(prepare, registryOn);
      const announced = await ask(prepare, announcing);
      const { put = 0, head = 0, ...others } = plain.requests;
      const expected = { ...others, put: put + 1 + asPuts, ...(head > 0 && { head: head - asPuts }) };
      assert.deepEqual(announced.requests, expected);
      assert.equal(announced.steps - plain.steps, steps, `${plain.steps} round trips without it`);
    });
});
