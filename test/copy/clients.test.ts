import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { startRegistry, type TestRegistry } from '../access/policy-server.ts';
import { readBlobs, TAG, tar, writeImage, writeIndex, type Layout } from '../clients/images.ts';
import { runStowage } from '../infra/run-node.ts';
import { pull, tagsOf } from '../registry/undo/images.ts';
import { dockerd } from '../servers/dockerd.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { goProgramPlace } from '../servers/go-programs.ts';
import { command } from '../servers/process.ts';
import { requires } from '../servers/requires.ts';
import { skopeo, type Skopeo } from '../servers/skopeo.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { signatureTag } from './attached.ts';

describe('a promotion of what clients have pushed', () => {
  let storage: TestStorage;
  let store: ObjectStore;
  let registry: TestRegistry;
  let folder: Folder;

  before(async () => {
    storage = await folderStorage();
    store = await storage.open();
    registry = await startRegistry({ settings: storage.settings });
    folder = await temporaryFolder('promotion');
  });

  after(async () => {
    await registry.stop();
    for (const each of [storage, folder]) each.remove();
  });

  const host = () => new URL(registry.url).host;

  /** Promotes all tags of a repository, and finds each whole. @returns the tags */
  async function promote(name: string): Promise<readonly string[]> {
    const { code, errors } = await runStowage(['copy', name, `prod/${name}`, '--all-tags'], storage.settings);
    assert.equal(code, 0, errors);
    const [from, to] = [parseRepositoryName(name), parseRepositoryName(`prod/${name}`)];
    const tags = await tagsOf(store, to);
    assert.deepEqual(tags, await tagsOf(store, from));
    for (const tag of tags.map(parseTag)) {
      const digest = await pull(store, to, tag);
      assert.ok(digest !== undefined);
      assert.equal(digest, await pull(store, from, tag));
    }
    return tags;
  }

  describe('skopeo and oras', requires('skopeo', 'oras'), () => {
    let client: Skopeo;
    let layouts: { readonly image: Layout; readonly index: Layout };

    before(async () => {
      client = await skopeo();
      const newLayout = async (name: string) => {
        const path = join(client.folder, name);
        await mkdir(path);
        return path;
      };
      layouts = {
        image: await writeImage(await newLayout('image'), [1000, 200_000]),
        index: await writeIndex(await newLayout('index'), ['amd64', 'arm64']),
      };
    });

    after(() => {
      client.remove();
    });

    const oras = async (words: readonly string[], ...args: string[]) =>
      await command(goProgramPlace('oras').file, [...words, '--plain-http', ...args], { cwd: folder.path });

    it('has the same bytes, whatever their format, with signatures and SBOMs', async () => {
      const { image, index } = layouts;
      const named = (tag: string) => `docker://${host()}/team/tools:${tag}`;
      await client.copy(`oci:${image.folder}:${TAG}`, named('oci'));
      await client.copy(`oci:${image.folder}:${TAG}`, named('docker'), '--format', 'v2s2');
      await client.copy(`oci:${index.folder}:${TAG}`, named('index'), '--all');
      // As cosign keeps signatures at a tag.
      const signature = signatureTag(index.digest as never);
      await client.copy(`oci:${image.folder}:${TAG}`, named(signature));
      await writeFile(join(folder.path, 'sbom.json'), '{"spdxVersion":"SPDX-2.3"}');
      await oras(['push'], `${host()}/team/tools:artifact`, 'sbom.json');
      const sbom = ['--artifact-type', 'application/spdx+json'];
      await oras(['attach'], ...sbom, `${host()}/team/tools:index`, 'sbom.json');
      assert.deepEqual(await promote('team/tools'), ['artifact', 'docker', 'index', 'oci', signature]);
      const page = { n: 10, last: undefined };
      const { descriptors } = await createRegistry(store).referrers.list(
        parseRepositoryName('prod/team/tools'),
        index.digest as never,
        page,
        undefined,
      );
      assert.deepEqual(
        descriptors.map(({ artifactType }) => artifactType),
        ['application/spdx+json'],
      );
      const copied = join(client.folder, 'copied');
      await client.copy(`docker://${host()}/prod/team/tools:index`, `oci:${copied}:${TAG}`, '--all');
      assert.deepEqual(await readBlobs(copied), await readBlobs(index.folder));
      await oras(['pull'], '--output', 'pulled', `${host()}/prod/team/tools:artifact`);
    });
  });

  it('docker has the same image', requires('dockerd'), async (context) => {
    const daemon = await dockerd();
    context.after(async () => {
      await daemon.stop();
    });
    const path = join(folder.path, 'root.tar');
    await writeFile(path, tar([{ name: 'file', content: Buffer.from('content') }]));
    await daemon.docker('import', path, `${host()}/team/docker:v1`);
    await daemon.docker('push', `${host()}/team/docker:v1`);
    assert.deepEqual(await promote('team/docker'), ['v1']);
    const { text } = await daemon.docker('pull', `${host()}/prod/team/docker:v1`);
    assert.match(text, /Downloaded newer image/);
  });
});
