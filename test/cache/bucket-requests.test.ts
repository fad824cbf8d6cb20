import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import { withObservedMethods } from '../../lib/storage/observed-store.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { fresh, image, push, tagged } from '../registry/manifest-steps.ts';
import { cacheFixture } from './cache-fixture.ts';

const mirrored = (name: RepositoryName) => parseRepositoryName(`mirror/${name}`);

/** What a cache asks of the bucket beside what a registry asks for the same pull. In functions of S3 each is a request. */
describe('what a cache costs in bucket requests', () => {
  const fixture = cacheFixture();

  function counted(): { readonly store: ObjectStore; readonly calls: string[] } {
    const calls: string[] = [];
    const store = withObservedMethods(fixture().store, (method) => () => {
      calls.push(method);
      return () => undefined;
    });
    return { store, calls };
  }

  /** The calls of a pull by tag, in no order. */
  async function callsOf(freshnessMs: number, pulls: number): Promise<string[]> {
    const name = fresh();
    await push(name, await image(name), 'v1');
    await fixture().start().manifests.get(mirrored(name), tagged('v1'));
    const { store, calls } = counted();
    const cache = fixture().start({ on: store, freshnessMs });
    for (let pull = 1; pull <= pulls; pull++) {
      calls.length = 0;
      await cache.manifests.get(mirrored(name), tagged('v1'));
    }
    return calls.sort();
  }

  /** The link of the tag, that of the manifest, and its bytes. */
  const usual = ['head', 'read', 'read'];

  it('a fresh tag has one more read of its link and one more look at the manifest in a process, and nothing more then', async () => {
    assert.deepEqual(await callsOf(600_000, 1), [...usual, 'head', 'read'].sort());
    assert.deepEqual(await callsOf(600_000, 2), ['head', 'read']);
  });

  it('a tag that the upstream still has costs one write beside these, and what is asked once in a while', async () => {
    // Whether the upstream wants a pause, and whether something is being collected.
    assert.deepEqual(await callsOf(0, 1), [...usual, 'head', 'read', 'read', 'put', 'fencing.open'].sort());
    assert.deepEqual(await callsOf(0, 2), ['head', 'head', 'put', 'read', 'read']);
  });
});
