import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';

import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { InvalidKey, ObjectNotFound, PreconditionFailed, StoreUnavailable } from '../../lib/storage/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { mountFolder, mountMemory, requiresMounts, unmount } from '../servers/mounts.ts';
import { rejects } from './place.ts';

const content = Buffer.from('content');
const metadata = { of: 'it' };

const v2 = 'docker/registry/v2';
const keys = {
  link: `${v2}/repositories/team/app/_manifests/tags/1/current/link`,
  created: `${v2}/repositories/team/app/_manifests/tags/2/current/link`,
  blob: `${v2}/blobs/sha256/ab/abcd/data`,
  session: `${v2}/uploads/1/session`,
  data: `${v2}/uploads/1/data-x`,
};

describe('filesystem store, on several mounts', requiresMounts(), () => {
  let root: Folder;
  let elsewhere: Folder;
  const at = (...names: string[]): string => join(root.path, ...names);

  beforeEach(async () => {
    root = await temporaryFolder('mounts');
    elsewhere = await temporaryFolder('disk');
  });
  afterEach(() => {
    mock.restoreAll();
    root.remove();
    elsewhere.remove();
  });

  /** A link to a folder of another disk. */
  const link = async (path: string): Promise<void> => {
    const disk = join(elsewhere.path, 'disk');
    mountMemory(disk);
    await fs.mkdir(at(path, '..'), { recursive: true });
    await fs.symlink(disk, at(path));
  };

  const arrangements: Readonly<Record<string, () => Promise<void> | void>> = {
    ...Object.fromEntries(
      [
        'docker',
        'docker/registry',
        v2,
        `${v2}/blobs`,
        `${v2}/repositories`,
        `${v2}/uploads`,
        `${v2}/blobs/sha256`,
      ].map((path) => [
        `${path} on a disk of its own`,
        () => {
          mountMemory(at(path));
        },
      ]),
    ),
    'blobs, repositories and uploads each on a disk of its own': () => {
      for (const name of ['blobs', 'repositories', 'uploads']) mountMemory(at(v2, name));
    },
    '.tmp on a disk of its own': () => {
      mountMemory(at('.tmp'));
    },
    'multipart uploads on a disk of their own': () => {
      mountMemory(at('.tmp/multipart'));
    },
    '.metadata on a disk of its own': () => {
      mountMemory(at('.metadata'));
    },
    'docker as another mount of the same disk': () => {
      mountFolder(join(elsewhere.path, 'images'), at('docker'));
    },
    'docker as a link to another disk': () => link('docker'),
    'a namespace as a link to another disk': () => link(`${v2}/repositories/team`),
    'a repository as a link to another disk': () => link(`${v2}/repositories/team/app`),
    'docker on one disk, and blobs in it on another': () => {
      mountMemory(at('docker'));
      mountMemory(at(v2, 'blobs'));
    },
  };

  for (const [name, arrange] of Object.entries(arrangements))
    it(`reads, writes, moves and deletes with ${name}`, async () => {
      await arrange();
      const store = await FilesystemStore.open(root.path);
      await store.put(keys.session, content);
      const put = await store.put(keys.link, content, { metadata });
      assert.deepEqual(await store.head(keys.link, { metadata: true }), { ...put, metadata });
      const created = await store.put(keys.created, content, { onlyIfAbsent: true, metadata });
      await rejects(store.put(keys.created, content, { onlyIfAbsent: true }), PreconditionFailed);
      assert.deepEqual(await store.head(keys.created, { metadata: true }), { ...created, metadata });
      const id = await store.createMultipart(keys.data, { metadata });
      const part = await store.uploadPart(keys.data, id, 1, content);
      // Another process finds the upload where it is.
      const other = await FilesystemStore.open(root.path);
      assert.deepEqual(
        (await Array.fromAsync(other.listMultiparts(v2))).map(({ uploadId }) => uploadId),
        [id],
      );
      const info = await other.completeMultipart(keys.data, id, [part]);
      await store.move(keys.data, keys.blob, info);
      assert.deepEqual((await store.read(keys.blob, 100)).bytes, content);
      assert.deepEqual((await store.head(keys.blob, { metadata: true })).metadata, metadata);
      await rejects(store.head(keys.data), ObjectNotFound);
      const { objects } = await store.list({});
      const left = [keys.blob, keys.created, keys.link, keys.session];
      assert.deepEqual(objects.map(({ key }) => key).sort(), left.sort());
      const abandoned = await store.createMultipart(keys.blob);
      await store.abortMultipart(keys.blob, abandoned);
      assert.deepEqual(await litter(root.path), []);
      await store.delete(Object.values(keys));
      assert.deepEqual((await store.list({})).objects, []);
    });

  it('copies nothing if all images are on one disk', async () => {
    mountMemory(at('docker'));
    const store = await FilesystemStore.open(root.path);
    const id = await store.createMultipart(keys.data);
    const part = await store.uploadPart(keys.data, id, 1, content);
    const folder = at('docker/_stowage~tmp/multipart', id);
    const [segment = ''] = (await fs.readdir(folder)).filter((name) => /^[0-9a-f-]+$/.test(name));
    const { ino } = await fs.stat(join(folder, segment));
    await store.move(keys.data, keys.blob, await store.completeMultipart(keys.data, id, [part]));
    assert.equal((await fs.stat(at(keys.blob))).ino, ino);
  });

  it('continues an upload that was started before a mount was added', async () => {
    await (await FilesystemStore.open(root.path)).put(`${v2}/uploads/1/session`, content);
    const before = await FilesystemStore.open(root.path);
    const id = await before.createMultipart(keys.blob);
    const part = await before.uploadPart(keys.blob, id, 1, content);
    mountMemory(at(v2, 'blobs'));
    for (const store of [before, await FilesystemStore.open(root.path)]) {
      const [found] = await Array.fromAsync(store.listMultiparts(v2));
      assert.equal(found?.uploadId, id);
    }
    await before.completeMultipart(keys.blob, id, [part]);
    assert.deepEqual((await before.read(keys.blob, 10)).bytes, content);
    assert.deepEqual(await litter(root.path), []);
  });

  it('removes files of killed writers on each mount after a day, but no uploads', async () => {
    mountMemory(at('docker'));
    const store = await FilesystemStore.open(root.path);
    await store.put(keys.link, content);
    const id = await store.createMultipart(keys.blob);
    const temporary = at('docker/_stowage~tmp');
    await fs.writeFile(join(temporary, 'half'), '');
    await fs.mkdir(join(temporary, 'multipart', `${id}.gone`));
    const tomorrow = Date.now() + 25 * 60 * 60 * 1000;
    mock.method(Date, 'now', () => tomorrow);
    await FilesystemStore.open(root.path);
    assert.deepEqual(await litter(root.path), [`docker/_stowage~tmp/multipart/${id}`]);
  });

  it('temporary files have no keys and are never listed', async () => {
    mountMemory(at('docker'));
    const store = await FilesystemStore.open(root.path);
    await store.put(keys.link, content);
    await fs.writeFile(at('docker/_stowage~tmp/half'), '');
    assert.deepEqual(
      (await store.list({})).objects.map(({ key }) => key),
      [keys.link],
    );
    await rejects(store.put('docker/_stowage~tmp/half', content), InvalidKey);
    await rejects(store.read('docker/_stowage~tmp/half', 10), InvalidKey);
  });

  it('ignores other mounts below its folder', async () => {
    mountMemory(at('other'));
    await FilesystemStore.open(root.path);
    assert.deepEqual(await fs.readdir(at('other')), []);
  });

  for (const [what, arrange] of Object.entries({
    'a disk': () => {
      mountMemory(at('docker'));
    },
    'a link to a disk': () => link('docker'),
  }))
    it(`objects on ${what} that went away are not reported as missing`, async () => {
      await arrange();
      const store = await FilesystemStore.open(root.path);
      await store.put(keys.link, content);
      if (what === 'a disk') unmount(at('docker'));
      else {
        unmount(join(elsewhere.path, 'disk'));
        await fs.rmdir(join(elsewhere.path, 'disk'));
      }
      const calls: Record<string, () => Promise<unknown>> = {
        head: () => store.head(keys.link),
        read: () => store.read(keys.link, 10),
        'list below': () => store.list({ prefix: `${v2}/repositories/` }),
        list: () => store.list({}),
        delete: () => store.delete([keys.link]),
        put: () => store.put(keys.link, content),
        createMultipart: () => store.createMultipart(keys.blob),
      };
      for (const [method, call] of Object.entries(calls))
        await assert.rejects(call(), StoreUnavailable, method);
    });
});

/** Paths of all temporary files. */
async function litter(root: string): Promise<string[]> {
  const found: string[] = [];
  const look = async (folder: string): Promise<void> => {
    for (const entry of await fs.readdir(join(root, folder), { withFileTypes: true })) {
      const path = join(folder, entry.name);
      const isFolder = (await fs.stat(join(root, path))).isDirectory();
      if (isFolder && (entry.name === '.tmp' || entry.name === '_stowage~tmp'))
        for (const name of await fs.readdir(join(root, path)))
          if (name !== 'multipart') found.push(join(path, name));
          else found.push(...(await fs.readdir(join(root, path, name))).map((id) => join(path, name, id)));
      else if (isFolder && entry.name !== '.metadata') await look(path);
    }
  };
  await look('');
  return found;
}
