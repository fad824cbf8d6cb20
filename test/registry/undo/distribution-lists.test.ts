/** Distribution takes each folder, or key below it, in `_manifests/tags/` for a tag, and each with `_manifests/` for a repository. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { RepositoryName } from '../../../lib/protocol/names.ts';
import { repositoriesPrefix, tagsPrefix } from '../../../lib/registry/layout.ts';
import { listObjects } from '../../../lib/registry/list-objects.ts';
import { deleteRepository } from '../../../lib/registry/undo/delete-repository.ts';
import { restoreRepository } from '../../../lib/registry/undo/restore-repository.ts';
import { restoreTag } from '../../../lib/registry/undo/restore-tag.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { Client } from '../../functions/client.ts';
import { distribution3 } from '../../servers/distribution.ts';
import { requires } from '../../servers/requires.ts';
import { freshName, pushImage, remove, v1 } from './images.ts';
import { onUndoPlaces, type UndoPlace } from './places.ts';
import { withoutWaits } from './repositories.ts';

/** What distribution lists of some repositories, with their tags. */
type Lists = (names: readonly RepositoryName[]) => Promise<Readonly<Record<string, readonly string[]>>>;

/** By the rule alone. */
function byKeys(store: ObjectStore): Lists {
  return async (names) => {
    const lists: Record<string, string[]> = {};
    for (const name of names) {
      const keys = listObjects(store, `${repositoriesPrefix}${name}/_manifests/`);
      for await (const { key } of keys) {
        const tags = (lists[name] ??= []);
        const tag = key.startsWith(tagsPrefix(name)) && key.slice(tagsPrefix(name).length).split('/')[0];
        if (typeof tag === 'string' && !tags.includes(tag)) tags.push(tag);
      }
    }
    return lists;
  };
}

/** By distribution itself. */
function byDistribution(address: string): Lists {
  const client = new Client(`http://${address}`);
  const get = async (path: string) =>
    JSON.parse((await client.must(200, { method: 'GET', path })).body.toString()) as Record<
      string,
      string[] | null
    >;
  return async (names) => {
    const { repositories } = await get('/v2/_catalog?n=1000');
    const listed = names.filter((name) => repositories?.includes(name));
    const tags = async (name: string) =>
      [name, ((await get(`/v2/${name}/tags/list`))['tags'] ?? []).sort()] as const;
    return Object.fromEntries(await Promise.all(listed.map(tags)));
  };
}

async function deletesAndRestores(store: ObjectStore, lists: Lists): Promise<void> {
  const [one, other] = [freshName(), freshName()];
  const names = [one, other];
  const { digest } = await pushImage(store, one, 'by-digest', 'v1');
  await pushImage(store, one, 'by-name');
  await pushImage(store, one, 'kept');
  await pushImage(store, other, 'other');
  const both = { [one]: ['by-digest', 'by-name', 'kept', 'v1'], [other]: ['other'] };
  assert.deepEqual(await lists(names), both);
  await remove(store, one, 'by-name');
  await remove(store, one, digest);
  assert.deepEqual(await lists(names), { ...both, [one]: ['kept'] });
  await deleteRepository(store, other);
  assert.deepEqual(await lists(names), { [one]: ['kept'] });
  await deleteRepository(store, one);
  assert.deepEqual(await lists(names), {});
  await restoreRepository(store, one);
  await restoreRepository(store, other);
  assert.deepEqual(await lists(names), { ...both, [one]: ['kept'] });
  await restoreTag(store, one, v1);
  assert.deepEqual(await lists(names), { ...both, [one]: ['kept', 'v1'] });
}

onUndoPlaces('what distribution lists after deletes and restores', (place: () => UndoPlace) => {
  it('no key is left that distribution would take for a deleted tag or repository', async () => {
    const store = withoutWaits(place().store);
    await deletesAndRestores(store, byKeys(store));
  });

  it('distribution 3 lists no deleted tag or repository', requires(distribution3.needs), async (context) => {
    const { storage, store } = place();
    if ('REGISTRY_STORAGE_SCS_BUCKET' in storage.settings) {
      context.skip('distribution has no driver of SCS');
      return;
    }
    const root = storage.settings['REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY'];
    const theirs = await distribution3.start(
      root ?? { ...storage.settings, REGISTRY_STORAGE_S3_FORCEPATHSTYLE: 'true' },
    );
    context.after(async () => {
      await theirs.stop();
    });
    await deletesAndRestores(withoutWaits(store), byDistribution(theirs.address));
  });
});
