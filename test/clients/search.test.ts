import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { fillStore } from '../search/bucket-ground.ts';
import { dockerd, type Dockerd } from '../servers/dockerd.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { requires } from '../servers/requires.ts';
import { functions, serve, type Stowage } from '../servers/stowage.ts';

const names = ['app', 'app-web', 'library/app', 'other', 'team/app_2'];

describe('docker search', requires('dockerd'), () => {
  let folder: Folder;
  let daemon: Dockerd;
  const registries: Stowage[] = [];

  before(async () => {
    folder = await temporaryFolder('docker-search');
    const root = join(folder.path, 'images');
    await fillStore(await FilesystemStore.open(root), names);
    daemon = await dockerd();
    const secret = {
      REGISTRY_HTTP_SECRET: 'the secret of both',
      REGISTRY_HTTP_DATAPLANE: 'http://127.0.0.1:1',
    };
    registries.push(
      await serve(root, {
        SEARCH_BACKEND: 'LOCAL',
        SEARCH_BACKEND_LOCAL: join(folder.path, 'repositories'),
      }),
      await functions(root, secret),
    );
  });

  after(async () => {
    for (const registry of registries) await registry.stop();
    await daemon.stop();
    folder.remove();
  });

  for (const [i, what] of [
    'npm run serve with a list in a file',
    'the functions with the bucket as the list',
  ].entries()) {
    const search = async (term: string, ...more: string[]) => {
      const { text } = await daemon.docker(
        ...['search', '--format', '{{.Name}}', ...more, `${registries[i]?.address ?? ''}/${term}`],
      );
      return text.split('\n').filter(Boolean);
    };

    it(`finds repositories of ${what}`, async () => {
      assert.deepEqual((await search('app')).sort(), ['app', 'app-web', 'library/app', 'team/app_2']);
      assert.deepEqual(await search('_2'), ['team/app_2']);
      assert.deepEqual(await search('nothing'), []);
      assert.deepEqual(await search('app', '--limit', '1'), ['app']);
    });
  }
});
