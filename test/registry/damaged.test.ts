import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { digestOf } from '../../lib/registry/uploads/content-hash.ts';
import { parseDigest, type Digest } from '../../lib/protocol/digests.ts';
import { RegistryError } from '../../lib/protocol/errors.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import {
  blobData,
  referrerKey,
  referrersScan,
  repositoriesPrefix,
  revisionLink,
  tagIndexLink,
  tagLink,
  uploadSession,
} from '../../lib/registry/layout.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { repairReferrers } from '../../lib/registry/manifests/repair.ts';
import { purgeUploads, type PurgeResult } from '../../lib/registry/uploads/purge.ts';
import { BucketSearch } from '../../lib/search/bucket-search.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { StoreUnavailable } from '../../lib/storage/store.ts';
import { indexType, manifest } from '../functions/client.ts';
import { memoryFolder, type Folder } from '../servers/folder.ts';

const name = parseRepositoryName('team/app');
const other = parseRepositoryName('team/other');
const all = { n: 1000, last: '' };
const isRoot = process.getuid?.() === 0;

/** What can be wrong with a file. */
const damages: Readonly<Record<string, (path: string) => Promise<void> | void>> = {
  'is empty': (path) => fs.truncate(path, 0),
  'is cut off': (path) => fs.truncate(path, 5),
  'has other bytes': (path) => fs.writeFile(path, randomBytes(300)),
  'has another text': (path) => fs.writeFile(path, 'sha256:none of this is right'),
  'has JSON of nothing': (path) => fs.writeFile(path, 'null'),
  'has JSON of other types': (path) =>
    fs.writeFile(
      path,
      '{"key":7,"started":{},"version":999,"at":"x","repository":[],"offset":"1","mediaType":1}',
    ),
  'is huge': (path) => fs.truncate(path, 3 * 1024 ** 3),
  'is a folder with a file': async (path) => {
    await fs.rm(path);
    await fs.mkdir(path);
    await fs.writeFile(join(path, 'file'), '');
  },
  'is a pipe': async (path) => {
    await fs.rm(path);
    execFileSync('mkfifo', [path]);
  },
  'is a link to nothing': async (path) => {
    await fs.rm(path);
    await fs.symlink('nothing', path);
  },
  'cannot be read': (path) => fs.chmod(path, 0),
  'lies in a folder that cannot be entered': (path) => fs.chmod(dirname(path), 0),
};

describe('a damaged object among others', () => {
  let folder: Folder;
  let store: FilesystemStore;
  let registry: Registry;
  let named: string[];

  const at = (key: string): string => join(folder.path, key);

  const open = async (): Promise<void> => {
    store = await FilesystemStore.open(folder.path, { onDamaged: (key) => named.push(key) });
    registry = createRegistry(store);
  };

  /** Stores an index, which needs nothing else. */
  const push = async (reference: string | undefined, more: object = {}, to = name): Promise<Digest> => {
    const bytes = manifest(
      { manifests: [], annotations: { some: randomBytes(4).toString('hex') }, ...more },
      indexType,
    );
    const by = parseReference(reference ?? digestOf(bytes, 'sha256'));
    return (await registry.manifests.put(to, by, bytes, indexType)).info.digest;
  };

  /** Damages the file of a key, and is somebody whom rights concern until the end of the test. */
  const damage = async (key: string, how: string): Promise<void> => {
    await damages[how]?.(at(key));
    named = [];
    if (isRoot && how.includes('cannot')) process.seteuid?.(65534);
  };

  beforeEach(async () => {
    named = [];
    folder = await memoryFolder('damaged');
    await open();
  });

  afterEach(async () => {
    if (isRoot) process.seteuid?.(0);
    mock.restoreAll();
    execFileSync('chmod', ['-R', 'u+rwX', folder.path]);
    folder.remove();
    await Promise.resolve();
  });

  /** So that nobody is root's; everything is theirs. */
  const giveAway = (): void => {
    if (isRoot) execFileSync('chown', ['-R', '65534', folder.path]);
  };

  for (const how of Object.keys(damages)) {
    it(`a damaged tag does not prevent listing and deleting others if its link ${how}`, async () => {
      const digest = await push('good');
      await push('bad');
      giveAway();
      await damage(tagLink(name, parseTag('bad')), how);
      const { names } = await registry.tags.list(name, all);
      assert.ok(names.includes('good'), String(names));
      assert.deepEqual((await registry.catalog.list(all)).names, [name]);
      await registry.manifests.delete(name, parseReference(digest));
      assert.ok(!(await registry.tags.list(name, all)).names.includes('good'));
      const isUnseen = /folder with|pipe|link to nothing/.test(how);
      assert.ok(isUnseen || named.some((key) => key.includes('/tags/bad/')), String(named));
      if (how.includes('folder that cannot')) return;
      // One that is damaged is none that is missing.
      const reading = registry.manifests.get(name, parseReference('bad'));
      const failure = isUnseen ? 'MANIFEST_UNKNOWN' : how === 'cannot be read' ? undefined : 'UNKNOWN';
      await assert.rejects(reading, (error) =>
        failure === undefined
          ? error instanceof StoreUnavailable
          : error instanceof RegistryError && error.failure === failure,
      );
    });

    it(`a damaged tag can be deleted and pushed again if its link ${how}`, async () => {
      if (how.includes('folder that cannot')) return;
      await push('bad');
      giveAway();
      const link = tagLink(name, parseTag('bad'));
      await damage(link, how);
      await registry.manifests.delete(name, parseReference('bad')).catch((error: unknown) => {
        // What is no file is no tag.
        assert.ok(/pipe|link to nothing/.test(how) && error instanceof RegistryError, String(error));
      });
      const digest = await push('bad');
      assert.equal((await registry.manifests.get(name, parseReference('bad'))).info.digest, digest);
      await damage(link, how);
      if (how === 'is a folder with a file') return;
      const again = await push('bad');
      assert.equal((await registry.manifests.get(name, parseReference('bad'))).info.digest, again);
    });

    it(`a damaged tag fails every condition if its link ${how}`, async () => {
      if (/folder|pipe|link to nothing/.test(how)) return;
      const digest = await push('bad');
      giveAway();
      await damage(tagLink(name, parseTag('bad')), how);
      const bytes = manifest({ manifests: [] }, indexType);
      for (const conditions of [
        { ifMatch: '', ifNoneMatch: '*' },
        { ifMatch: `"${digest}"`, ifNoneMatch: '' },
      ])
        await assert.rejects(
          registry.manifests.put(name, parseReference('bad'), bytes, indexType, { conditions }),
          (error) => error instanceof RegistryError && error.failure === 'PRECONDITION_FAILED',
        );
    });

    it(`a damaged referrer does not hide others if its object ${how}`, async () => {
      const subject = await push('1');
      const about = { mediaType: indexType, digest: subject, size: 5 };
      const referrers = [];
      for (let i = 0; i < 3; i++) referrers.push(await push(undefined, { subject: about }));
      const [first = assert.fail(), second = assert.fail(), third = assert.fail()] = referrers;
      const page = { n: 1000, last: undefined };
      const listed = async () =>
        (await registry.referrers.list(name, subject, page, undefined)).descriptors
          .map((one) => one.digest)
          .sort();
      assert.deepEqual(await listed(), referrers.toSorted());
      giveAway();
      await open();
      // An entry is made anew of its manifest, unless something else is in its place.
      await damage(referrerKey(name, subject, first), how.replace(/^lies.*/, 'is empty'));
      const isUnseen = /folder with|pipe|link to nothing/.test(how);
      assert.deepEqual(await listed(), isUnseen ? [second, third].toSorted() : referrers.toSorted());
      if (isUnseen) await fs.rm(at(referrerKey(name, subject, first)), { recursive: true });
      if (isUnseen) await registry.referrers.repair(name, true);
      await damage(referrersScan(name), how.replace(/^lies.*/, 'is empty'));
      assert.deepEqual(await listed(), referrers.toSorted());
      await damage(revisionLink(name, second), how);
      const isGone = /folder|pipe|link to nothing/.test(how);
      const rest = isGone ? [first, third] : referrers;
      assert.deepEqual(await listed(), rest.toSorted());
      await fs.rm(at(referrerKey(name, subject, third)), { force: true });
      await damage(blobData(third), how);
      assert.deepEqual(await listed(), rest.filter((one) => one !== third).toSorted());
    });

    it(`a repair continues if the index of one repository ${how}`, async () => {
      for (const repository of [name, other]) {
        const subject = await push('1', {}, repository);
        const about = { mediaType: indexType, digest: subject, size: 5 };
        const referrer = await push(undefined, { subject: about }, repository);
        await registry.referrers.list(repository, subject, { n: 9, last: undefined }, undefined);
        await fs.rm(at(referrerKey(repository, subject, referrer)));
      }
      giveAway();
      await damage(referrersScan(name), how);
      const { added } = await repairReferrers(registry, { full: true, onDamaged: (key) => named.push(key) });
      assert.ok(added >= 1);
    });

    it(`a purge continues if a multipart upload's file or a session ${how}`, async () => {
      const uploads: string[] = [];
      for (let i = 0; i < 3; i++) {
        const id = await registry.uploads.start(name);
        uploads.push(id);
      }
      const orphans = [];
      for (let i = 0; i < 3; i++)
        orphans.push(await store.createMultipart(blobData(parseDigest(`sha256:${String(i).repeat(64)}`))));
      orphans.sort();
      uploads.sort();
      const [firstUpload = '', ...moreUploads] = uploads;
      const [firstOrphan = ''] = orphans;
      giveAway();
      await damage(`.tmp/multipart/${firstOrphan}/upload`, how);
      await damage(uploadSession(firstUpload), how);
      const later = Date.now() + 8 * 24 * 60 * 60 * 1000;
      const swept = await Array.fromAsync(purgeUploads(store, { olderThan: new Date(later) }));
      const ids = swept.flatMap((one: PurgeResult) => (one.kind === 'upload' ? [one.id] : []));
      for (const id of moreUploads) assert.ok(ids.includes(id));
      assert.equal(swept.filter(({ kind }) => kind === 'multipart').length, 2);
      assert.ok(
        named.some((key) => key.includes(firstOrphan)),
        String(named),
      );
      await assert.rejects(fs.access(at(`.tmp/multipart/${orphans[1] ?? ''}`)));
      // Nobody can go on with it, and it goes in its turn.
      if (isRoot) process.seteuid?.(0);
      mock.method(Date, 'now', () => later);
      await open();
      const left = await fs.readdir(at('.tmp/multipart'));
      if (!how.includes('cannot')) assert.deepEqual(left, []);
    });
  }

  it('a repository that cannot be entered or is a dangling link does not hide others', async () => {
    for (const repository of ['a', 'a-b', 'b', 'b/c', 'd'])
      await push('1', {}, parseRepositoryName(repository));
    await fs.symlink('/nowhere', at(`${repositoriesPrefix}linked`));
    giveAway();
    await fs.chmod(at(`${repositoriesPrefix}a`), 0);
    await fs.mkdir(at(`${repositoriesPrefix}lost+found`), { mode: 0 });
    if (isRoot) process.seteuid?.(65534);
    named = [];
    assert.deepEqual((await registry.catalog.list(all)).names, ['a-b', 'b', 'b/c', 'd']);
    assert.deepEqual((await registry.catalog.list({ n: 1, last: 'a' })).names, ['a-b']);
    const search = new BucketSearch(registry.catalog);
    assert.equal((await search.search('b', { size: 10, number: 1 })).total, 3);
    for (const path of ['a/', 'linked/', 'lost+found/'])
      assert.ok(named.includes(repositoriesPrefix + path), path);
    // A list made from the bucket keeps the name.
    assert.equal(await registry.catalog.has(parseRepositoryName('a')), true);
    assert.equal(await registry.catalog.has(parseRepositoryName('none')), false);
    await assert.rejects(store.list({ prefix: repositoriesPrefix }), StoreUnavailable);
  });

  it('an inaccessible folder is reported as an outage', async () => {
    await push('1');
    giveAway();
    await fs.chmod(at(repositoriesPrefix), 0);
    if (isRoot) process.seteuid?.(65534);
    await assert.rejects(registry.catalog.list(all), StoreUnavailable);
    await assert.rejects(registry.tags.list(name, all), StoreUnavailable);
  });

  it('the registry starts if temporary files cannot be removed', async () => {
    await fs.mkdir(at('.tmp/old/below'), { recursive: true });
    await fs.writeFile(at('.tmp/other'), '');
    giveAway();
    if (isRoot) execFileSync('chown', ['0', at('.tmp/old')]);
    const tomorrow = Date.now() + 25 * 60 * 60 * 1000;
    mock.method(Date, 'now', () => tomorrow);
    if (isRoot) process.seteuid?.(65534);
    named = [];
    await open();
    assert.deepEqual((await fs.readdir(at('.tmp'))).sort(), isRoot ? ['multipart', 'old'] : ['multipart']);
    if (isRoot) assert.deepEqual(named, ['.tmp/old']);
  });

  it('deleting a tag leaves the unreadable part of its history', async () => {
    const digest = await push('1');
    giveAway();
    await fs.chmod(dirname(at(tagIndexLink(name, parseTag('1'), digest))), 0);
    if (isRoot) process.seteuid?.(65534);
    await registry.manifests.delete(name, parseReference('1'));
    assert.deepEqual((await registry.tags.list(name, all)).names, []);
  });
});
