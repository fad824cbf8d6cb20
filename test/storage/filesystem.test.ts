import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import callbacks from 'node:fs';
import fs, { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, afterEach, beforeEach, describe, it, mock } from 'node:test';
import { promisify } from 'node:util';

import fc from 'fast-check';

import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import {
  InvalidKey,
  ObjectNotFound,
  PreconditionFailed,
  RangeNotSatisfiable,
  StoreUnavailable,
} from '../../lib/storage/store.ts';
import { allPages, expectedEntries, listOptionsOf } from './contract-listing.ts';
import { storeContract } from './contract.ts';
import { rejects } from './place.ts';

type Done = (error: Error | null) => void;

const run = promisify(execFile);
const bytes = Buffer.from('content');

const contractRoot = await mkdtemp(join(tmpdir(), 'stowage-files-contract-'));
after(async () => {
  await fs.rm(contractRoot, { recursive: true });
});
storeContract(
  'filesystem',
  async () => ({ store: await FilesystemStore.open(contractRoot), close: () => Promise.resolve() }),
  { metadata: true },
);

describe('filesystem store, of its own', () => {
  let root: string;
  let store: FilesystemStore;
  const at = (...names: string[]): string => join(root, ...names);
  const isThere = async (path: string): Promise<boolean> =>
    await fs.lstat(path).then(
      () => true,
      () => false,
    );
  /** Files of operations in progress in the store's folder. */
  const litter = async (): Promise<string[]> => [
    ...(await fs.readdir(at('.tmp'))).filter((name) => name !== 'multipart'),
    ...(await fs.readdir(at('.tmp/multipart'))),
  ];
  const writeFile = async (name: string, content: string): Promise<void> => {
    await fs.mkdir(dirname(at(name)), { recursive: true });
    await fs.writeFile(at(name), content);
  };
  const keysOf = async (): Promise<string[]> => (await store.list({})).objects.map(({ key }) => key);

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'stowage-files-'));
    store = await FilesystemStore.open(root);
  });
  afterEach(async () => {
    mock.restoreAll();
    await fs.rm(root, { recursive: true, force: true });
  });

  describe('creating', () => {
    const created = { onlyIfAbsent: true };
    const systemError = (code: string) => Object.assign(new Error('of the test'), { code });

    it('exactly one of many processes creates an object', async () => {
      const rounds = 40;
      const program = join(import.meta.dirname, 'create-race.ts');
      const names = Array.from({ length: 6 }, (_, i) => `process ${i}`);
      const won = await Promise.all(
        names.map(async (name) => {
          const { stdout } = await run(process.execPath, [program, root, name, `${rounds}`]);
          return stdout.split('\n').flatMap((round) => (round === '' ? [] : [{ name, round }]));
        }),
      );
      for (let round = 0; round < rounds; round++) {
        const winners = won.flat().filter((one) => one.round === `${round}`);
        assert.equal(winners.length, 1, `round ${round}`);
        const { bytes } = await store.read(`race/${round}/deep/link`, 100);
        const { metadata } = await store.head(`race/${round}/deep/link`, { metadata: true });
        assert.deepEqual([bytes.toString(), metadata['name']], [winners[0]?.name, winners[0]?.name]);
      }
      assert.deepEqual(await litter(), []);
    });

    it('an object is created in place of an empty folder, but not of a folder of others', async () => {
      await fs.mkdir(at('a/b'), { recursive: true });
      await store.put('a/b', bytes, created);
      assert.deepEqual((await store.read('a/b', 100)).bytes, bytes);
      await assert.rejects(store.put('a', bytes, created), InvalidKey);
      await assert.rejects(store.put('a/b/c', bytes, created), InvalidKey);
      assert.deepEqual(await litter(), []);
    });

    it('a creation succeeds where the answer of a network file system was lost', async () => {
      const { link } = fs;
      mock.method(fs, 'link', async (from: string, to: string) => {
        await link(from, to);
        throw systemError('EEXIST');
      });
      await store.put('a/b', bytes, { ...created, metadata: { of: 'it' } });
      assert.deepEqual((await store.read('a/b', 100)).bytes, bytes);
      assert.deepEqual((await store.head('a/b', { metadata: true })).metadata, { of: 'it' });
      assert.deepEqual(await litter(), []);
    });

    it('without hard links, as the limits say, a creation is checked just before', async () => {
      assert.equal(store.limits.honoursOnlyIfAbsent, true);
      for (const code of ['EPERM', 'EOPNOTSUPP']) {
        mock.method(fs, 'link', () => Promise.reject(systemError(code)));
        const opened = await FilesystemStore.open(root);
        assert.equal(opened.limits.honoursOnlyIfAbsent, false);
        await opened.put(`a/${code}`, bytes, created);
        await rejects(opened.put(`a/${code}`, bytes, created), PreconditionFailed, `a/${code}`);
        assert.deepEqual((await opened.read(`a/${code}`, 100)).bytes, bytes);
        mock.restoreAll();
      }
      // A store that was opened before, as on a mount that came later.
      mock.method(fs, 'link', () => Promise.reject(systemError('EPERM')));
      await store.put('b', bytes, created);
      assert.equal(store.limits.honoursOnlyIfAbsent, false);
      assert.deepEqual(await litter(), []);
    });

    it('a creation that fails leaves nothing', async () => {
      mock.method(fs, 'link', () => Promise.reject(systemError('ENOSPC')));
      await rejects(store.put('a', bytes, created), StoreUnavailable, 'a');
      assert.equal(await isThere(at('a')), false);
      assert.deepEqual(await litter(), []);
    });
  });

  describe('files', () => {
    it('a folder has each object as a plain file under its key', async () => {
      await store.put('docker/registry/v2/x/link', bytes);
      assert.deepEqual(await fs.readFile(at('docker/registry/v2/x/link')), bytes);
      await writeFile('docker/registry/v2/y/link', 'by another program');
      assert.equal(
        (await store.read('docker/registry/v2/y/link', 100)).bytes.toString(),
        'by another program',
      );
      assert.deepEqual(await keysOf(), ['docker/registry/v2/x/link', 'docker/registry/v2/y/link']);
    });

    it('leaves nothing behind beside the objects', async () => {
      const metadata = { size: '7' };
      await store.put('a/b', bytes, { metadata });
      await store.move('a/b', 'c/d');
      await rejects(store.put('c', bytes, { metadata }), InvalidKey);
      await rejects(store.put('c/d/e', bytes), InvalidKey);
      await rejects(store.move('c/d', 'c/d/e'), InvalidKey);
      await rejects(store.move('none', 'b'), ObjectNotFound);
      const id = await store.createMultipart('e');
      const parts = [await store.uploadPart('e', id, 1, bytes)];
      await store.uploadPart('e', id, 1, bytes);
      await store.completeMultipart('e', id, parts);
      const conflict = await store.createMultipart('c');
      const part = await store.uploadPart('c', conflict, 2, bytes);
      await rejects(store.completeMultipart('c', conflict, [part]), InvalidKey);
      await store.abortMultipart('c', conflict);
      assert.deepEqual(await litter(), []);
      await store.delete(['c/d', 'e']);
      assert.deepEqual((await fs.readdir(root)).sort(), ['.metadata', '.tmp']);
    });

    it('opening removes files that killed writers left a day ago', async () => {
      await fs.writeFile(at('.tmp/half'), 'of an object');
      await fs.mkdir(at('.tmp/discarded'));
      const id = await store.createMultipart('a');
      await FilesystemStore.open(root);
      assert.equal((await litter()).length, 3);
      const tomorrow = Date.now() + 25 * 60 * 60 * 1000;
      mock.method(Date, 'now', () => tomorrow);
      await FilesystemStore.open(root);
      assert.deepEqual(await litter(), [id]);
    });

    it('opening in read-only mode changes nothing, and a missing root is an error', async () => {
      const copy = `${root}-read-only`;
      await fs.mkdir(join(copy, 'a'), { recursive: true });
      const files = async () => (await fs.readdir(copy, { recursive: true })).sort();
      const warn = (message: string) => assert.fail(message);
      await FilesystemStore.open(copy, { readOnly: true, warn });
      assert.deepEqual(await files(), ['a']);
      await fs.mkdir(join(copy, '.tmp'));
      await fs.writeFile(join(copy, '.tmp/half'), 'of an object');
      const tomorrow = Date.now() + 25 * 60 * 60 * 1000;
      mock.method(Date, 'now', () => tomorrow);
      await FilesystemStore.open(copy, { readOnly: true, warn });
      assert.deepEqual(await files(), ['.tmp', '.tmp/half', 'a']);
      await fs.rm(copy, { recursive: true });
      await rejects(FilesystemStore.open(copy, { readOnly: true }), StoreUnavailable);
      assert.equal(await isThere(copy), false);
    });

    it('gives content that replaces other content another ETag, however quickly', async () => {
      const etags = new Set<string>();
      for (let round = 0; round < 100; round++) etags.add((await store.put('a', Buffer.of(round))).etag);
      assert.equal(etags.size, 100);
    });

    it('sets the mtime itself, as the coarse clock of the kernel repeats', async () => {
      const now = Date.now() - 60_000;
      mock.method(Date, 'now', () => now);
      const first = await store.put('a', bytes);
      assert.ok(Math.abs(first.lastModified.getTime() - now) <= 1);
      assert.notEqual((await store.put('a', bytes)).etag, first.etag);
    });

    it('moves objects on a file system without hard links', async () => {
      mock.method(fs, 'link', () => Promise.reject(Object.assign(new Error('no'), { code: 'EPERM' })));
      const info = await store.put('a/b', bytes, { metadata: { size: '7' } });
      await store.move('a/b', 'c', info);
      assert.deepEqual((await store.read('c', 10)).bytes, bytes);
      assert.deepEqual((await store.head('c', { metadata: true })).metadata, { size: '7' });
      assert.equal(await isThere(at('a')), false);
      await rejects(store.move('a/b', 'c', info), ObjectNotFound);
      assert.deepEqual(await litter(), []);
    });

    it('completes a move that was killed', async () => {
      const info = await store.put('a', bytes);
      await fs.link(at('a'), at('b'));
      await store.move('a', 'b', info);
      assert.deepEqual(await keysOf(), ['b']);
      assert.deepEqual(await litter(), []);
    });

    it('keeps an object written to the source during a move', async () => {
      const info = await store.put('a', bytes, { metadata: { of: 'old' } });
      const { rename } = callbacks;
      mock.method(callbacks, 'rename', (from: string, to: string, done: Done) => {
        rename(from, to, (error) => {
          const other =
            to === at('b')
              ? FilesystemStore.open(root).then((store) =>
                  store.put('a', Buffer.from('new'), { metadata: { of: 'new' } }),
                )
              : Promise.resolve();
          other.then(() => {
            done(error);
          }, done);
        });
      });
      await store.move('a', 'b', info);
      const of = async (key: string) => [
        (await store.read(key, 100)).bytes.toString(),
        (await store.head(key, { metadata: true })).metadata,
      ];
      assert.deepEqual(await of('a'), ['new', { of: 'new' }]);
      assert.deepEqual(await of('b'), [bytes.toString(), { of: 'old' }]);
    });
  });

  describe('keys', () => {
    it('keys in the internal folders are refused', async () => {
      for (const key of ['.tmp', '.tmp/x', '.metadata', '.metadata/x/y']) {
        await rejects(store.put(key, bytes), InvalidKey, key);
        await rejects(store.read(key, 10), InvalidKey, key);
        await rejects(store.delete([key]), InvalidKey, key);
        await rejects(store.createMultipart(key), InvalidKey, key);
      }
      for (const key of ['a/.tmp/x', '.tmpx', '.metadata-x']) await store.put(key, bytes);
      assert.deepEqual(await keysOf(), ['.metadata-x', '.tmpx', 'a/.tmp/x']);
    });

    it('keys are refused with a segment of more than 255 bytes', async () => {
      for (const key of [`a/${'x'.repeat(256)}`, `${'文'.repeat(86)}/a`]) {
        await rejects(store.put(key, bytes), InvalidKey, key);
        await rejects(store.head(key), InvalidKey, key);
        assert.deepEqual((await store.list({ prefix: key })).objects, []);
      }
      await store.put(`a/${'x'.repeat(255)}`, bytes, { metadata: { a: 'b' } });
      assert.equal((await store.head(`a/${'x'.repeat(255)}`, { metadata: true })).metadata['a'], 'b');
    });

    it('keys below an object or at its folder are refused', async () => {
      await store.put('a/b', bytes);
      for (const key of ['a', 'a/b/c', 'a/b/c/d']) {
        await rejects(store.put(key, bytes), InvalidKey, key);
        await rejects(store.move('a/b', key), InvalidKey, key);
      }
      assert.deepEqual(await keysOf(), ['a/b']);
    });

    it('an object replaces an empty folder', async () => {
      await fs.mkdir(at('a'));
      await store.put('a', bytes);
      assert.deepEqual(await keysOf(), ['a']);
    });
  });

  describe('pruning', () => {
    it('deletes and moves remove empty folders and no others', async () => {
      for (const key of ['r/tags/1/link', 'r/tags/2/link', 's/a']) await store.put(key, bytes);
      await store.delete(['r/tags/1/link']);
      assert.deepEqual(await fs.readdir(at('r/tags')), ['2']);
      await store.move('r/tags/2/link', 's/b');
      assert.equal(await isThere(at('r')), false);
      await store.delete(['s/a', 's/b']);
      assert.deepEqual((await fs.readdir(root)).sort(), ['.metadata', '.tmp']);
    });

    it('pruning completes a delete that was killed', async () => {
      await fs.mkdir(at('r/tags/1'), { recursive: true });
      await store.delete(['r/tags/1/current/link']);
      assert.equal(await isThere(at('r')), false);
    });

    it('pruning never fails a concurrent write', async () => {
      const program = join(import.meta.dirname, 'prune-race.ts');
      await Promise.all(['a', 'b', 'c'].map((name) => run(process.execPath, [program, root, name, '100'])));
      assert.equal(await isThere(at('race')), false);
      assert.deepEqual(await litter(), []);
    });

    it('pruning is not mistaken for a file in place of a folder', async () => {
      // As Node says of a folder that goes between two of its own calls.
      const cause = Object.assign(new Error('of the test'), { code: 'ENOTDIR' });
      mock.method(fs, 'mkdir', () => Promise.reject(cause), { times: 1 });
      await store.put('a/b/c', bytes);
      assert.deepEqual((await store.read('a/b/c', 100)).bytes, Buffer.from(bytes));
      await assert.rejects(store.put('a/b/c/d', bytes), InvalidKey);
      await assert.rejects(store.put('a/b/c/d/e', bytes), InvalidKey);
    });

    it('a write retries while pruning removes its folder, up to a limit', async () => {
      const { rename } = callbacks;
      let pruned = 0;
      let prunes = 5;
      mock.method(callbacks, 'rename', (from: string, to: string, done: Done) => {
        if (to === at('a/b/c') && pruned++ < prunes)
          callbacks.rmSync(at('a'), { recursive: true, force: true });
        rename(from, to, done);
      });
      await store.put('a/b/c', bytes);
      assert.equal((await store.head('a/b/c')).size, bytes.length);
      prunes = Infinity;
      await rejects(store.put('a/b/c', bytes), StoreUnavailable, 'a/b/c');
      assert.deepEqual(await litter(), []);
    });
  });

  describe('listing', () => {
    it('a listing shows no empty or internal folders', async () => {
      await fs.mkdir(at('r/_uploads/x'), { recursive: true });
      await fs.mkdir(at('empty'));
      await store.put('r/a', bytes);
      await store.createMultipart('r/b');
      const prefixesOf = async (prefix: string) => (await store.list({ prefix, delimiter: '/' })).prefixes;
      assert.deepEqual(await prefixesOf(''), ['r/']);
      assert.deepEqual(await prefixesOf('r/'), []);
      assert.deepEqual(await keysOf(), ['r/a']);
      for (const prefix of ['.tmp/', '.tmp/multipart/', '.metadata/', '../', 'r/../r/', '.t']) {
        assert.deepEqual(await store.list({ prefix }), { objects: [], prefixes: [], next: undefined });
      }
    });

    it('listings and reads show regular files only', async () => {
      await store.put('a/file', bytes);
      await fs.symlink(at('a/file'), at('link'));
      await run('mkfifo', [at('pipe')]);
      assert.deepEqual(await keysOf(), ['a/file']);
      for (const key of ['link', 'pipe', 'a']) {
        await rejects(store.head(key), ObjectNotFound, key);
        await rejects(store.open(key), ObjectNotFound, key);
        await rejects(store.read(key, 10), ObjectNotFound, key);
        await rejects(store.move(key, 'b'), ObjectNotFound, key);
      }
      assert.deepEqual(await litter(), []);
    });

    it('a listing follows links to folders as reads do, but no cycles', async () => {
      const outside = await mkdtemp(join(tmpdir(), 'stowage-outside-'));
      try {
        await fs.mkdir(join(outside, 'deep'));
        await fs.writeFile(join(outside, 'deep/file'), bytes);
        for (const key of ['a/file', 'b/c/file']) await store.put(key, bytes);
        const links = {
          linked: 'a',
          outside,
          'b/up': '..',
          'b/self': '../b/self',
          'b/c/other': '../../a',
          'a/other': '../b',
          above: dirname(root),
          all: '/',
        };
        for (const [path, target] of Object.entries(links)) await fs.symlink(target, at(path));
        const keys = await keysOf();
        assert.deepEqual(keys, [
          'a/file',
          'a/other/c/file',
          'b/c/file',
          'b/c/other/file',
          'linked/file',
          'linked/other/c/file',
          'outside/deep/file',
        ]);
        for (const key of keys) assert.deepEqual((await store.read(key, 100)).bytes, bytes);
        assert.deepEqual((await allPages(store, { limit: 1 })).objects, keys);
        assert.deepEqual((await store.list({ prefix: 'l', delimiter: '/' })).prefixes, ['linked/']);
        await rejects(store.head('linked'), ObjectNotFound);
        // What a link leads to is emptied, and the link stays.
        await store.delete(['outside/deep/file']);
        assert.deepEqual([await fs.readdir(outside), await isThere(at('outside'))], [[], true]);
      } finally {
        await fs.rm(outside, { recursive: true });
      }
    });

    it('a listing skips files and folders that vanish', async () => {
      for (const key of ['a', 'b/c', 'd']) await store.put(key, bytes);
      const { readdir } = fs;
      mock.method(fs, 'readdir', async (path: string, options: { withFileTypes: true }) => {
        const entries = await readdir(path, options);
        await fs.rm(at('a'), { force: true });
        await fs.rm(at('b'), { recursive: true, force: true });
        return entries;
      });
      assert.deepEqual(await keysOf(), ['d']);
    });

    it('a listing that has read nothing before reads only folders with entries of the page', async () => {
      for (let folder = 10; folder < 40; folder++) {
        for (const name of ['a/x', 'b/x', 'b/y', 'c']) await writeFile(`r/${folder}/${name}`, '');
      }
      const read = mock.method(fs, 'readdir').mock;
      const foldersReadFor = async (options: Parameters<typeof store.list>[0]): Promise<string[]> => {
        const opened = await FilesystemStore.open(root);
        read.resetCalls();
        await opened.list(options);
        return read.calls.map((call) => String(call.arguments[0]).slice(root.length));
      };
      const folder = (...names: string[]) => names.map((name) => `/${name}`);
      assert.deepEqual(await foldersReadFor({ prefix: 'r/20/b/' }), folder('r/20/b/'));
      assert.deepEqual(await foldersReadFor({ prefix: 'r/20/b' }), folder('r/20/', 'r/20/b/'));
      assert.deepEqual(
        await foldersReadFor({ prefix: 'r/', limit: 1, startAfter: 'r/20/b/x' }),
        folder('r/', 'r/20/', 'r/20/b/'),
      );
      assert.deepEqual(
        await foldersReadFor({ prefix: 'r/', delimiter: '/', startAfter: 'r/38/' }),
        folder('r/', 'r/39/', 'r/39/a/'),
      );
      assert.deepEqual(
        await foldersReadFor({ prefix: 'r/', delimiter: '/', startAfter: 'r/38/b/x' }),
        folder('r/', 'r/39/', 'r/39/a/'),
      );
      assert.deepEqual(await foldersReadFor({ delimiter: '/' }), folder('', 'r/', 'r/10/', 'r/10/a/'));
      assert.deepEqual(await foldersReadFor({ prefix: 'none/below/' }), []);
      assert.equal((await foldersReadFor({ prefix: 'r/', delimiter: '/', limit: 3 })).length, 1 + 4 * 2);
    });

    it('a listing of a folder agrees with a plain model on any tree', async () => {
      const segment = fc
        .array(fc.constantFrom('a', 'b', '-', '_', '0', '.x', '\u{1f4e6}', '\ufffd'), {
          minLength: 1,
          maxLength: 2,
        })
        .map((characters) => characters.join(''));
      const key = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => segments.join('/'));
      const isFree = (candidate: string, index: number, keys: readonly string[]) =>
        !keys.some((other) => other.startsWith(`${candidate}/`)) && keys.indexOf(candidate) === index;
      const cases = fc
        .uniqueArray(key, { minLength: 1, maxLength: 25 })
        .map((keys) => keys.filter(isFree).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))))
        .chain((keys) => fc.tuple(fc.constant(keys), fc.array(listOptionsOf('', keys), { maxLength: 20 })));
      await fc.assert(
        fc.asyncProperty(cases, async ([keys, queries]) => {
          for (const name of keys) await writeFile(name, '');
          for (const options of queries) {
            assert.deepEqual(await allPages(store, options), expectedEntries(keys, options));
          }
          await store.delete(keys);
          assert.deepEqual((await fs.readdir(root)).sort(), ['.metadata', '.tmp']);
        }),
        { seed: 1, numRuns: 60 },
      );
    });
  });

  describe('metadata', () => {
    it('metadata are ignored once another program rewrites the file', async () => {
      const { etag } = await store.put('a', bytes, { metadata: { size: '7' } });
      await fs.writeFile(at('a'), 'CONTENT');
      const head = await store.head('a', { metadata: true });
      assert.deepEqual(head.metadata, {});
      assert.notEqual(head.etag, etag);
      await fs.rm(at('a'));
      await fs.writeFile(at('a'), 'content');
      assert.deepEqual((await store.head('a', { metadata: true })).metadata, {});
    });

    it('metadata are read only on request', async () => {
      await store.put('a', bytes, { metadata: { size: '7' } });
      assert.deepEqual((await store.head('a')).metadata, {});
      assert.deepEqual((await store.head('a', { metadata: true })).metadata, { size: '7' });
    });

    it('metadata are deleted when their object is deleted or moved', async () => {
      for (const key of ['a', 'b']) await store.put(key, bytes, { metadata: { size: '7' } });
      await store.delete(['a']);
      await store.move('b', 'c');
      await store.delete(['c']);
      const left = await fs.readdir(at('.metadata'), { recursive: true, withFileTypes: true });
      assert.deepEqual(
        left.filter((entry) => entry.isFile()),
        [],
      );
    });

    it('a torn sidecar of metadata is ignored', async () => {
      await store.put('a', bytes, { metadata: { size: '7' } });
      for (const entry of await fs.readdir(at('.metadata'), { recursive: true, withFileTypes: true })) {
        if (entry.isFile()) await fs.truncate(join(entry.parentPath, entry.name), 10);
      }
      assert.deepEqual((await store.head('a', { metadata: true })).metadata, {});
    });
  });

  describe('outages', () => {
    const everyMethod = (): Record<string, () => Promise<unknown>> => ({
      head: () => store.head('a'),
      open: () => store.open('a'),
      read: () => store.read('a', 10),
      put: () => store.put('a', bytes),
      'put with metadata': () => store.put('a', bytes, { metadata: { a: 'b' } }),
      move: () => store.move('a', 'b'),
      delete: () => store.delete(['a']),
      list: () => store.list({}),
      'list below': () => store.list({ prefix: 'a/b/' }),
      createMultipart: () => store.createMultipart('a'),
      uploadPart: () => store.uploadPart('a', id, 1, bytes),
      completeMultipart: () => store.completeMultipart('a', id, [{ number: 1, etag: 'e', size: 7 }]),
      abortMultipart: () => store.abortMultipart('a', id),
      listMultiparts: () => store.listMultiparts('')[Symbol.asyncIterator]().next(),
    });
    const id = '00000000-0000-4000-8000-000000000000';

    for (const [outage, arrange] of Object.entries({
      'is gone': () => Promise.resolve(),
      'is an empty mount point': () => fs.mkdir(root),
      'is a file': () => fs.writeFile(root, ''),
    })) {
      it(`an object is not reported as missing if the root ${outage}`, async () => {
        await store.put('a', bytes);
        await fs.rm(root, { recursive: true });
        await arrange();
        for (const [method, call] of Object.entries(everyMethod())) {
          await assert.rejects(call(), StoreUnavailable, method);
        }
        if (outage === 'is a file') await rejects(FilesystemStore.open(root), StoreUnavailable);
      });
    }

    it('outages are reported with their cause for any errno', async () => {
      await store.put('a', bytes);
      for (const code of ['EACCES', 'EIO', 'ENOSPC', 'EMFILE', 'EROFS']) {
        const cause = Object.assign(new Error(`${code}: mocked`), { code });
        for (const method of [
          'open',
          'lstat',
          'readdir',
          'rename',
          'link',
          'unlink',
          'writeFile',
          'readFile',
        ] as const) {
          mock.method(fs, method, () => Promise.reject(cause));
        }
        for (const method of ['open', 'lstat', 'rename', 'unlink'] as const) {
          const real = callbacks[method] as (...parameters: unknown[]) => void;
          mock.method(callbacks, method, (...parameters: unknown[]) => {
            // Node uses this to remove a folder, such as that of an upload that could not be created.
            if (String(parameters[0]).includes('.new')) real(...parameters);
            else (parameters.at(-1) as (error: Error) => void)(cause);
          });
          mock.method(callbacks, `${method}Sync`, () => {
            throw cause;
          });
        }
        for (const [method, call] of Object.entries(everyMethod())) {
          await assert.rejects(
            call(),
            (error) => error instanceof StoreUnavailable && error.cause === cause,
            `${method} at ${code}`,
          );
        }
        mock.restoreAll();
      }
      assert.equal((await store.read('a', 10)).bytes.toString(), 'content');
      assert.deepEqual(await litter(), []);
    });

    it('a small file that was read a moment ago is opened without a wait, a larger one as a stream', async () => {
      for (const [key, size] of [
        ['small', 32 * 1024],
        ['large', 32 * 1024 + 1],
      ] as const) {
        const content = Buffer.alloc(size, key);
        await store.put(key, content);
        // Once the type of the file system is known.
        assert.equal(await text((await store.open(key)).body), content.toString());
        const { mock: open } = mock.method(fs, 'open');
        for (const [range, expected] of [
          [undefined, content],
          [{ start: 3, end: 7 }, content.subarray(3, 8)],
          [{ start: size - 2, end: size + 5 }, content.subarray(-2)],
        ] as const)
          assert.equal(await text((await store.open(key, range)).body), expected.toString());
        await assert.rejects(store.open(key, { start: size }), RangeNotSatisfiable);
        assert.equal(open.callCount(), key === 'small' ? 0 : 4);
        mock.restoreAll();
      }
    });

    it('a stream of a file that becomes shorter ends with an error', async () => {
      await store.put('a', Buffer.alloc(100_000));
      const { body } = await store.open('a', { start: 1 });
      await fs.truncate(at('a'), 3);
      await assert.rejects(text(body), StoreUnavailable);
    });
  });
});
