import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { dockerd, type Dockerd } from '../servers/dockerd.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import type { Registry, StartRegistry } from '../servers/registry.ts';
import { requires } from '../servers/requires.ts';
import { forgetAll, idOf } from './docker-images.ts';
import { tar } from './images.ts';

/** MB of the big layer, unless others are given. Random bytes, so that they stay as many when docker compresses them. */
const BIG_LAYER = 200;

/** What `docker build` makes, before it has a name in a registry. */
const BUILT = 'built';

/** Docker builds, pushes and pulls images through a registry. @param bigLayer MB of one of their layers */
export function dockerFlow(name: string, start: StartRegistry, bigLayer = BIG_LAYER): void {
  describe(`docker, with ${name}`, requires('dockerd'), () => {
    let folder: Folder;
    let daemon: Dockerd;
    let registry: Registry;
    let id: string;
    const docker: Dockerd['docker'] = async (...args) => await daemon.docker(...args);
    const named = (reference: string) => `${registry.address}/${reference}`;

    /** Tags the built image and pushes it; returns the push's output and the digest it ends with. */
    const push = async (reference: string) => {
      await docker('tag', BUILT, named(reference));
      const { text } = await docker('push', named(reference));
      return { text, digest: /digest: (sha256:[0-9a-f]{64})/.exec(text)?.[1] ?? '' };
    };

    before(async () => {
      folder = await temporaryFolder('docker');
      daemon = await dockerd();
      registry = await start(join(folder.path, 'registry'));
      id = await build(docker, folder.path, bigLayer);
    });

    after(async () => {
      await registry.stop();
      await daemon.stop();
      folder.remove();
    });

    let digest: string;

    it(`pushes an image with a layer of ${bigLayer} MB`, async () => {
      const pushed = await push('app:1');
      digest = pushed.digest;
      assert.equal(pushed.text.match(/: Pushed$/gm)?.length, 3, pushed.text);
    });

    it('docker finds existing layers when it pushes a second tag', async () => {
      const { text } = await push('app:2');
      assert.equal(text.match(/: Layer already exists$/gm)?.length, 3, text);
    });

    it('mounts the layers into another repository', async () => {
      const { text } = await push('copy/of/app:1');
      assert.equal(text.match(/: Mounted from app$/gm)?.length, 3, text);
    });

    it('pushes to a repository of six segments', async () => {
      assert.equal((await push('a/b/c/d/e/f:1')).digest, digest);
    });

    it('pulls the same image by tag', async () => {
      await forgetAll(docker);
      await docker('pull', named('app:1'));
      assert.equal(await idOf(docker, named('app:1')), id);
    });

    it('pulls the same image by digest', async () => {
      await forgetAll(docker);
      await docker('pull', named(`app@${digest}`));
      assert.equal(await idOf(docker, named(`app@${digest}`)), id);
    });

    it('pulls what it pushed to other repositories', async () => {
      for (const reference of ['copy/of/app:1', 'a/b/c/d/e/f:1']) {
        await docker('pull', named(reference));
        assert.equal(await idOf(docker, named(reference)), id);
      }
    });

    it('docker reports an unknown tag', async () => {
      await assert.rejects(docker('pull', named('app:unknown')), /manifest unknown/);
    });
  });
}

/** Builds an image of three layers and returns its id. The big layer comes last: vfs copies it for each one above. */
async function build(docker: Dockerd['docker'], folder: string, bigLayer: number): Promise<string> {
  const base = join(folder, 'base.tar');
  const context = join(folder, 'context');
  await mkdir(context);
  await writeFile(base, tar([{ name: 'base', content: randomBytes(1000) }]));
  await writeFile(join(context, 'small'), randomBytes(100_000));
  await writeFile(join(context, 'big'), randomBytes(bigLayer * 1024 ** 2));
  await writeFile(join(context, 'Dockerfile'), 'FROM base\nCOPY small /small\nCOPY big /big\n');
  await docker('import', base, 'base');
  await docker('build', '--tag', BUILT, context);
  return await idOf(docker, BUILT);
}
