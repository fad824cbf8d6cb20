import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { distribution2, type Distribution } from '../servers/distribution.ts';
import type { Registry } from '../servers/registry.ts';
import { requires } from '../servers/requires.ts';
import { skopeo, type Skopeo } from '../servers/skopeo.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { IMAGE_TYPE, INDEX_TYPE, TAG, readBlobs, writeImage, writeIndex, type Layout } from './images.ts';

type Start = (settings: TestStorage['settings']) => Promise<Registry>;

/** Two registries in one place, and a client to both. */
interface Pair {
  readonly pusher: Registry;
  readonly other: Registry;
  readonly client: Skopeo;
  /** Starts one more of the other's kind. */
  readonly startOther: () => Promise<Registry>;
  readonly listed: Listed;
}

/** Runs an assertion about what a listing shows. */
type Listed = (assertion: () => Promise<void>) => Promise<void>;

/** Where the two registries keep their images. */
export interface InteropPlace {
  readonly name: string;
  readonly make: () => Promise<TestStorage>;
  /** Milliseconds until what was written, or deleted, must show in listings: none in a folder. */
  readonly listingLag: number;
  /** Leaves out what distribution pushes. */
  readonly oneWay?: boolean;
}

const FOLDER: InteropPlace = { name: 'folder', make: folderStorage, listingLag: 0 };

/** A registry and distribution take turns in one place: each works with what the other pushed. */
export function interopFlow(
  name: string,
  startOurs: Start,
  place: InteropPlace = FOLDER,
  original: Distribution = distribution2,
): void {
  const title = `${name} and ${original.name} on one ${place.name}`;
  describe(title, requires(original.needs, 'skopeo'), () => {
    let storage: TestStorage;
    let ours: Registry;
    let theirs: Registry;
    let client: Skopeo;
    const listed: Listed = async (assertion) => {
      await within(place.listingLag, assertion);
    };
    const startAnother = (start: Start) => async () => await start(storage.settings);

    before(async () => {
      storage = await place.make();
      ours = await startOurs(storage.settings);
      theirs = await original.start(storage.settings);
      client = await skopeo();
    });

    after(async () => {
      await ours.stop();
      await theirs.stop();
      client.remove();
      storage.remove();
    });

    describe(`${name} pushes`, () => {
      const startOther = startAnother(original.start);
      turns('to-ours', () => ({ pusher: ours, other: theirs, client, startOther, listed }));
    });
    if (place.oneWay === true) return;
    describe(`${original.name} pushes`, () => {
      const startOther = startAnother(startOurs);
      turns('to-theirs', () => ({ pusher: theirs, other: ours, client, startOther, listed }));
    });
  });
}

/** The tests of one direction; `prefix` keeps its repositories apart from the other direction's. */
function turns(prefix: string, pair: () => Pair): void {
  const app = `${prefix}/app`;
  let image: Layout;
  let index: Layout;

  before(async () => {
    image = await writeImage(await layoutFolder(pair().client, `${prefix}-image`), [1000, 7_000_000]);
    index = await writeIndex(await layoutFolder(pair().client, `${prefix}-index`), ['amd64', 'arm64']);
  });

  it('and the other pulls the same bytes, by tag and by digest', async () => {
    const { pusher, other, client } = pair();
    await pushes(client, image, pusher, `${app}:1`);
    await pulls(client, image, other, `${app}:1`);
    await pulls(client, image, other, `${app}@${image.digest}`);
  });

  it('and the other pulls an index with all its images', async () => {
    const { pusher, other, client } = pair();
    await pushes(client, index, pusher, `${prefix}/multi:1`);
    await pulls(client, index, other, `${prefix}/multi:1`);
  });

  it('and the other lists the repositories and tags', async () => {
    const { pusher, other, client, listed } = pair();
    await pushes(client, image, pusher, `${app}:2`);
    await listed(async () => {
      assert.deepEqual(await tagsOf(other, app), ['1', '2']);
      assert.deepEqual(await repositoriesOf(other, prefix), [app, `${prefix}/multi`]);
    });
  });

  it('and one of the other kind that starts only now finds it all', async () => {
    const { startOther, client, listed } = pair();
    const late = await startOther();
    try {
      await pulls(client, image, late, `${app}:1`);
      await pulls(client, index, late, `${prefix}/multi@${index.digest}`);
      await listed(async () => {
        assert.deepEqual(await tagsOf(late, app), ['1', '2']);
        assert.deepEqual(await repositoriesOf(late, prefix), [app, `${prefix}/multi`]);
      });
    } finally {
      await late.stop();
    }
  });

  it('and the other mounts a layer, which both then serve', async () => {
    const { pusher, other } = pair();
    const digest = await layerOf(other, app, '1');
    const mount = `blobs/uploads/?mount=${digest}&from=${app}`;
    assert.equal((await request(other, 'POST', `${prefix}/mounted/${mount}`)).status, 201);
    for (const registry of [pusher, other]) {
      assert.equal((await request(registry, 'HEAD', `${prefix}/mounted/blobs/${digest}`)).status, 200);
    }
  });

  it('and the other pushes into the same repository, finding the layers there', async () => {
    const { pusher, other, client, listed } = pair();
    await pushes(client, image, other, `${app}:3`);
    await pulls(client, image, pusher, `${app}:3`);
    await listed(async () => {
      assert.deepEqual(await tagsOf(pusher, app), ['1', '2', '3']);
    });
  });

  it('and the other moves a tag', async () => {
    const { pusher, other, client } = pair();
    await pushes(client, index, other, `${app}:2`);
    await pulls(client, index, pusher, `${app}:2`);
    await pulls(client, image, pusher, `${app}:1`);
  });

  it('and the other deletes the manifest, and with it its tags', async () => {
    const { pusher, other, listed } = pair();
    assert.equal((await request(other, 'DELETE', `${app}/manifests/${image.digest}`)).status, 202);
    for (const reference of ['1', '3', image.digest]) {
      assert.equal((await request(pusher, 'GET', `${app}/manifests/${reference}`)).status, 404);
    }
    await listed(async () => {
      assert.deepEqual(await tagsOf(pusher, app), ['2']);
    });
  });

  it('and the other deletes the last tagged manifest', async () => {
    const { pusher, other, listed } = pair();
    assert.equal((await request(other, 'DELETE', `${app}/manifests/${index.digest}`)).status, 202);
    assert.equal((await request(pusher, 'GET', `${app}/manifests/2`)).status, 404);
    await listed(async () => {
      assert.deepEqual(await tagsOf(pusher, app), []);
    });
  });

  it('and pushes again what the other deleted', async () => {
    const { pusher, other, client, listed } = pair();
    await pushes(client, image, pusher, `${app}:1`);
    await pulls(client, image, other, `${app}:1`);
    await listed(async () => {
      assert.deepEqual(await tagsOf(other, app), ['1']);
    });
  });

  it("and the other deletes a repository's layer, which stays in the other repositories", async () => {
    const { pusher, other } = pair();
    const digest = await layerOf(other, app, '1');
    assert.equal((await request(other, 'DELETE', `${prefix}/mounted/blobs/${digest}`)).status, 202);
    assert.equal((await request(pusher, 'HEAD', `${prefix}/mounted/blobs/${digest}`)).status, 404);
    assert.equal((await request(pusher, 'HEAD', `${app}/blobs/${digest}`)).status, 200);
  });
}

async function layoutFolder(client: Skopeo, name: string): Promise<string> {
  const path = join(client.folder, name);
  await mkdir(path);
  return path;
}

async function pushes(client: Skopeo, layout: Layout, registry: Registry, reference: string): Promise<void> {
  await client.copy(`oci:${layout.folder}:${TAG}`, `docker://${registry.address}/${reference}`, '--all');
}

/** Pulls into a new folder and compares every blob. */
async function pulls(client: Skopeo, layout: Layout, registry: Registry, reference: string): Promise<void> {
  const copied = join(client.folder, `${registry.address}/${reference}`.replace(/\W/g, '-'));
  await client.copy(`docker://${registry.address}/${reference}`, `oci:${copied}:${TAG}`, '--all');
  assert.deepEqual(await readBlobs(copied), await readBlobs(layout.folder));
}

async function request(registry: Registry, method: string, path: string): Promise<Response> {
  const headers = { accept: `${IMAGE_TYPE}, ${INDEX_TYPE}` };
  return await fetch(`http://${registry.address}/v2/${path}`, { method, headers });
}

/**
 * Sorted, because distribution lists a folder's tags in any order. A repository without a tag may be unknown:
 * distribution says so once its folder is gone.
 */
async function tagsOf(registry: Registry, repository: string): Promise<string[]> {
  const response = await request(registry, 'GET', `${repository}/tags/list`);
  if (response.status === 404) return [];
  const { tags } = (await response.json()) as { tags: string[] | null };
  return (tags ?? []).sort();
}

/** Those whose names begin with `prefix`. */
async function repositoriesOf(registry: Registry, prefix: string): Promise<string[]> {
  const response = await request(registry, 'GET', '_catalog?n=1000');
  const { repositories } = (await response.json()) as { repositories: string[] };
  return repositories.filter((name) => name.startsWith(`${prefix}/`));
}

/** The digest of an image's first layer. */
async function layerOf(registry: Registry, repository: string, tag: string): Promise<string> {
  const response = await request(registry, 'GET', `${repository}/manifests/${tag}`);
  const { layers } = (await response.json()) as { layers: { digest: string }[] };
  return layers[0]?.digest ?? '';
}

/** Repeats an assertion until it holds, for so many milliseconds; the last failure is the test's. */
async function within(milliseconds: number, assertion: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + milliseconds;
  for (;;) {
    try {
      await assertion();
      return;
    } catch (error) {
      if (Date.now() >= deadline) throw error;
      await delay(200);
    }
  }
}
