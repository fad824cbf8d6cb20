import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import type { Registry, StartRegistry } from '../servers/registry.ts';
import { requires } from '../servers/requires.ts';
import { skopeo, type Skopeo } from '../servers/skopeo.ts';
import { IMAGE_TYPE, TAG, readBlobs, writeImage, writeIndex, type Layout } from './images.ts';

/** What a flow may be asked to do more of. */
export interface SkopeoOptions {
  /** Tags in the repository whose tags are listed; above 1000 they take more than a page. */
  readonly tags?: number;
}

/** skopeo copies images into a registry, within it, and out of it. */
export function skopeoFlow(name: string, start: StartRegistry, { tags = 12 }: SkopeoOptions = {}): void {
  describe(`skopeo, with ${name}`, requires('skopeo'), () => {
    let folder: Folder;
    let client: Skopeo;
    let registry: Registry;
    let image: Layout;
    let index: Layout;
    const named = (reference: string) => `docker://${registry.address}/${reference}`;

    before(async () => {
      folder = await temporaryFolder('skopeo-flow');
      client = await skopeo();
      registry = await start(join(folder.path, 'registry'));
      image = await writeImage(await layoutFolder(client, 'image'), [1000, 7_000_000, 50_000]);
      index = await writeIndex(await layoutFolder(client, 'index'), ['amd64', 'arm64', 's390x']);
    });

    after(async () => {
      await registry.stop();
      client.remove();
      folder.remove();
    });

    it('copies an image in', async () => {
      await client.copy(`oci:${image.folder}:${TAG}`, named('app:1'));
      assert.equal(await digestAt(client, named('app:1')), image.digest);
    });

    it('copies it out again byte for byte', async () => {
      const copied = join(client.folder, 'image-copied');
      await client.copy(named('app:1'), `oci:${copied}:${TAG}`);
      assert.deepEqual(await readBlobs(copied), await readBlobs(image.folder));
    });

    it('copies an image by digest', async () => {
      const copied = join(client.folder, 'image-by-digest');
      await client.copy(named(`app@${image.digest}`), `oci:${copied}:${TAG}`);
      assert.deepEqual(await readBlobs(copied), await readBlobs(image.folder));
    });

    it('copies an image to another repository', async () => {
      await client.copy(named('app:1'), named('team/copy-of/app:1'));
      assert.equal(await digestAt(client, named('team/copy-of/app:1')), image.digest);
    });

    it('copies an index with all its images in and out', async () => {
      const copied = join(client.folder, 'index-copied');
      await client.copy(`oci:${index.folder}:${TAG}`, named('multi:1'), '--all');
      await client.copy(named('multi:1'), `oci:${copied}:${TAG}`, '--all');
      assert.deepEqual(await readBlobs(copied), await readBlobs(index.folder));
    });

    it('copies an index between repositories', async () => {
      await client.copy(named('multi:1'), named('multi-copy:1'), '--all');
      assert.equal(await digestAt(client, named('multi-copy:1')), index.digest);
    });

    it(`lists ${tags} tags`, async () => {
      const names = Array.from({ length: tags }, (_, number) => `v${number}`);
      await tagAgain(registry.address, 'app', '1', names);
      const listed = JSON.parse((await client.listTags(named('app'))).text) as { Tags: string[] };
      assert.deepEqual(listed.Tags.sort(), ['1', ...names].sort());
    });

    it('deletes an image with its tags', async () => {
      await client.delete(named('team/copy-of/app:1'));
      await assert.rejects(client.inspect(named('team/copy-of/app:1')), /manifest unknown/);
      assert.equal(await digestAt(client, named('app:1')), image.digest);
    });
  });
}

async function layoutFolder(client: Skopeo, name: string): Promise<string> {
  const path = join(client.folder, name);
  await mkdir(path);
  return path;
}

/** The digest of the manifest or index under a tag. */
async function digestAt(client: Skopeo, reference: string): Promise<string> {
  return (await client.inspect(reference, '--format', '{{.Digest}}', '--no-tags')).text;
}

/** Gives an image more tags, without a process for each and twenty at a time, since each waits for the disk. */
async function tagAgain(address: string, repository: string, tag: string, tags: string[]): Promise<void> {
  const manifests = `http://${address}/v2/${repository}/manifests`;
  const headers = { accept: IMAGE_TYPE, 'content-type': IMAGE_TYPE };
  const body = await (await fetch(`${manifests}/${tag}`, { headers })).arrayBuffer();
  const put = async (name: string) => {
    const { status } = await fetch(`${manifests}/${name}`, { method: 'PUT', headers, body });
    assert.equal(status, 201);
  };
  for (let first = 0; first < tags.length; first += 20) {
    await Promise.all(tags.slice(first, first + 20).map(put));
  }
}
