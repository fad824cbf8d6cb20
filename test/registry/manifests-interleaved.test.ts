import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference, type Reference } from '../../lib/protocol/references.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { digestOf, indexType, manifest } from '../functions/client.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { interrupted } from './interrupted.ts';

const folder = await temporaryFolder('manifests-interleaved');
const store = await FilesystemStore.open(folder.path);

after(() => {
  folder.remove();
});

const bytes = manifest({ manifests: [] }, indexType);
const byDigest = parseReference(digestOf(bytes));
const byTag = parseReference('b');

async function assertTagsLead(
  registry: Registry,
  name: ReturnType<typeof parseRepositoryName>,
): Promise<void> {
  // An empty index is all the repository had: without it there is none.
  const none = { names: [] };
  const { names } = await registry.tags.list(name, { n: 10, last: '' }).catch(() => none);
  for (const tag of names) await registry.manifests.get(name, parseReference(tag));
}

describe('a concurrent push and delete of one manifest leave no dangling tag', () => {
  type Act = (registry: Registry, name: ReturnType<typeof parseRepositoryName>) => Promise<unknown>;
  const put =
    (reference: Reference): Act =>
    async (registry, name) =>
      await registry.manifests.put(name, reference, bytes, indexType);
  const remove: Act = async (registry, name) => {
    // The other may have deleted it first.
    await registry.manifests.delete(name, byDigest).catch(() => undefined);
  };
  const removeTag: Act = async (registry, name) => {
    await registry.manifests.delete(name, byTag).catch(() => undefined);
  };
  const pairs: Record<string, [Act, Act]> = {
    'the delete at each step of the push': [put(byTag), remove],
    'the push at each step of the delete': [remove, put(byTag)],
    'the push at each step of a delete of the tag': [removeTag, put(byTag)],
    'the delete of the tag at each step of the push': [put(byTag), removeTag],
  };
  const races = Object.entries(pairs).flatMap(([title, acts]) => [
    { title, acts, isThere: false },
    { title: `${title}, of a tag that is there`, acts, isThere: true },
  ]);
  for (const {
    title,
    acts: [first, second],
    isThere,
  } of races)
    it(title, async () => {
      const plain = createRegistry(store);
      for (let at = 0; ; at++) {
        const name = parseRepositoryName(`${title.replaceAll(/,? /g, '-')}/${at}`);
        await put(parseReference('a'))(plain, name);
        if (isThere) await put(byTag)(plain, name);
        const { store: between, happened } = interrupted(store, at, async () => await second(plain, name));
        await first(createRegistry(between), name);
        await assertTagsLead(plain, name);
        // What was left of a tag does not keep it from going with its manifest.
        await remove(plain, name);
        await assertTagsLead(plain, name);
        if (!happened()) break;
        assert.ok(at < 50);
      }
    });
});
