import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import callbacks from 'node:fs';
import fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';

import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import {
  InvalidKey,
  InvalidPart,
  MultipartNotFound,
  StoreUnavailable,
  type PartSink,
  type UploadedPart,
} from '../../lib/storage/store.ts';
import { rejects } from './place.ts';

const KEY = 'uploads/1/data';
const large = randomBytes(5 * 1024 * 1024);
const mebibyte = randomBytes(1024 ** 2);
const small = Buffer.from('the end');
const whole = Buffer.concat([large, small]);

describe('filesystem store, multipart uploads', () => {
  let root: string;
  let store: FilesystemStore;
  let other: FilesystemStore;
  let id: string;

  const folder = (...names: string[]): string => join(root, '.tmp/multipart', id, ...names);
  /** Segments of the upload, without the files beside them. */
  const segments = async (): Promise<string[]> =>
    (await fs.readdir(folder())).filter((name) => name !== 'upload' && !/\..*\./.test(name));
  const inodeOf = async (path: string): Promise<number> => (await fs.lstat(path)).ino;
  const segmentInode = async (): Promise<number> => await inodeOf(folder((await segments())[0] ?? ''));
  const objectInode = async (): Promise<number> => await inodeOf(join(root, KEY));
  const upload = async (number: number, bytes: Buffer, by = store): Promise<UploadedPart> =>
    await by.uploadPart(KEY, id, number, bytes);
  const assertContent = async (expected: Buffer): Promise<void> => {
    assert.ok((await store.read(KEY, expected.length)).bytes.equals(expected));
  };
  const assertClean = async (): Promise<void> => {
    assert.deepEqual(await fs.readdir(join(root, '.tmp')), ['multipart']);
    assert.deepEqual(await fs.readdir(join(root, '.tmp/multipart')), []);
  };

  beforeEach(async () => {
    root = await fs.mkdtemp(join(tmpdir(), 'stowage-files-'));
    store = await FilesystemStore.open(root);
    other = await FilesystemStore.open(root);
    id = await store.createMultipart(KEY, { metadata: { of: 'upload' } });
  });
  afterEach(async () => {
    mock.restoreAll();
    await fs.rm(root, { recursive: true });
  });

  it('a multipart upload is renamed, not copied, if one process wrote its parts in order', async () => {
    const first = await upload(1, large);
    const inode = await segmentInode();
    const parts = [first, ...(await Promise.all([upload(2, large), upload(3, small)]))];
    assert.equal((await segments()).length, 1);
    const info = await other.completeMultipart(KEY, id, parts);
    assert.equal(await objectInode(), inode);
    assert.deepEqual(await store.head(KEY, { metadata: true }), { ...info, metadata: { of: 'upload' } });
    await assertContent(Buffer.concat([large, large, small]));
    await assertClean();
  });

  it('a multipart upload is renamed after a restart from the first part', async () => {
    await upload(1, small);
    await upload(2, small);
    const parts = [await upload(1, large), await upload(2, small)];
    const inodes = await Promise.all((await segments()).map((name) => inodeOf(folder(name))));
    await store.completeMultipart(KEY, id, parts);
    assert.ok(inodes.includes(await objectInode()));
    await assertContent(whole);
  });

  it('a multipart upload is copied if its parts are separate or not contiguous', async () => {
    const cases: (() => Promise<UploadedPart[]>)[] = [
      async () => [await upload(1, large), await upload(2, small, other)],
      async () => [await upload(2, small), await upload(1, large)].toReversed(),
      async () => {
        const parts = [await upload(1, large), await upload(2, small)];
        await upload(3, small);
        return parts;
      },
    ];
    for (const write of cases) {
      id = await store.createMultipart(KEY, { metadata: { of: 'copy' } });
      const parts = await write();
      const inodes = await Promise.all((await segments()).map((name) => inodeOf(folder(name))));
      const info = await store.completeMultipart(KEY, id, parts);
      assert.ok(!inodes.includes(await objectInode()));
      assert.deepEqual(await store.head(KEY, { metadata: true }), { ...info, metadata: { of: 'copy' } });
      await assertContent(whole);
    }
  });

  it('a multipart upload continues in another segment after a failed part', async () => {
    const first = await upload(1, large);
    mock.method(fs, 'rename', () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' })));
    await assert.rejects(upload(2, randomBytes(100)));
    mock.restoreAll();
    const second = await upload(2, small);
    await store.completeMultipart(KEY, id, [first, second]);
    await assertContent(whole);
    await assertClean();
  });

  it('a multipart upload takes the next part if the first could not start a segment', async () => {
    mock.method(fs, 'writeFile', () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' })));
    await assert.rejects(upload(1, large));
    mock.restoreAll();
    const second = await upload(2, small);
    await store.completeMultipart(KEY, id, [await upload(1, large), second]);
    await assertContent(whole);
  });

  describe('with a part that takes its bytes as they arrive', () => {
    const openPart = async (number: number, continued?: UploadedPart, by = store): Promise<PartSink> =>
      (await by.openPart(KEY, id, number, continued)) ?? assert.fail('the part cannot be continued');
    const writeTo = async (sink: PartSink, ...pieces: readonly Buffer[]): Promise<UploadedPart> => {
      for (const piece of pieces) await sink.write(piece);
      return await sink.finish();
    };

    it('an open part and its continuations are renamed, not copied', async () => {
      const first = await writeTo(await openPart(1), large, small);
      const second = await writeTo(await openPart(1, first), small, large);
      const third = await upload(2, small);
      assert.deepEqual([first.size, second.size], [whole.length, 2 * whole.length]);
      assert.notEqual(first.etag, second.etag);
      const inode = await segmentInode();
      await store.completeMultipart(KEY, id, [second, third]);
      assert.equal(await objectInode(), inode);
      await assertContent(Buffer.concat([large, small, small, large, small]));
      await assertClean();
    });

    it('a part that was continued can still be completed without its continuation', async () => {
      const first = await writeTo(await openPart(1), large);
      await writeTo(await openPart(1, first), small);
      await other.completeMultipart(KEY, id, [first]);
      await assertContent(large);
    });

    it('an aborted open part leaves the segment as it was', async () => {
      const first = await writeTo(await openPart(1), large);
      const inode = await segmentInode();
      for (const continued of [first, undefined]) {
        const sink = await openPart(continued === undefined ? 2 : 1, continued);
        await sink.write(large);
        await sink.abort();
      }
      const second = await writeTo(await openPart(1, first), small);
      assert.equal((await segments()).length, 1);
      await store.completeMultipart(KEY, id, [second]);
      assert.equal(await objectInode(), inode);
      await assertContent(whole);
    });

    it('only the process that wrote a part last can continue it, one request at a time', async () => {
      const first = await writeTo(await openPart(1), large);
      assert.equal(await other.openPart(KEY, id, 1, first), undefined);
      const sink = await openPart(1, first);
      assert.equal(await store.openPart(KEY, id, 1, first), undefined);
      const second = await writeTo(sink, small);
      assert.equal(await store.openPart(KEY, id, 1, first), undefined);
      const elsewhere = await writeTo(await openPart(2, undefined, other), small);
      await store.completeMultipart(KEY, id, [second, elsewhere]);
      await assertContent(Buffer.concat([whole, small]));
    });

    it('an upload that is completed while a part is open gets none of its bytes', async () => {
      const first = await writeTo(await openPart(1), large);
      const sink = await openPart(1, first);
      await sink.write(small);
      await other.completeMultipart(KEY, id, [first]);
      await sink.write(large);
      await rejects(sink.finish(), MultipartNotFound, KEY);
      await assertContent(large);
      await assertClean();
    });

    it('an error of the disk while bytes arrive fails the part, although it is reported once', async () => {
      const sink = await openPart(1);
      const probe = await fs.open(join(root, 'probe'), 'w');
      const prototype = Object.getPrototypeOf(probe) as typeof probe;
      await probe.close();
      const datasync = mock.method(prototype, 'datasync', () => Promise.resolve());
      datasync.mock.mockImplementationOnce(() =>
        Promise.reject(Object.assign(new Error('the disk failed'), { code: 'EIO' })),
      );
      for (let written = 0; written < 32; written += 1) await sink.write(mebibyte);
      // After 2 MiB, 4 more, 8 more and 16 more.
      assert.equal(datasync.mock.callCount(), 4);
      mock.restoreAll();
      await rejects(sink.finish(), StoreUnavailable, KEY);
      const again = await writeTo(await openPart(1), large);
      await store.completeMultipart(KEY, id, [again]);
      await assertContent(large);
    });

    it('an error of the disk after a transient part has ended makes its upload unknown', async () => {
      mock.method(callbacks, 'statfs', (_: string, done: (error: null, stats: object) => void) => {
        done(null, { type: 0xef53 });
      });
      for (const key of ['a', 'b']) await store.put(key, small);
      const first = await openPart(1);
      const probe = await fs.open(join(root, 'probe'), 'w');
      const prototype = Object.getPrototypeOf(probe) as typeof probe;
      await probe.close();
      mock.method(prototype, 'datasync', () => Promise.reject(new Error('the disk failed')));
      await first.write(small);
      const part = await first.finish({ transient: true });
      assert.equal(part.unsynced, true);
      await rejects(store.completeMultipart(KEY, id, [part]), MultipartNotFound, KEY);
      await rejects(other.completeMultipart(KEY, id, [part]), MultipartNotFound, KEY);
      await assertClean();
    });

    it('parts in progress can be read from any byte on', async () => {
      const parts = [await writeTo(await openPart(1), large), await upload(2, small, other)];
      for (const start of [0, 7, large.length, large.length + 3, whole.length]) {
        const pieces: Buffer[] = [];
        for await (const piece of other.readParts(KEY, id, parts, start)) pieces.push(Buffer.from(piece));
        assert.ok(Buffer.concat(pieces).equals(whole.subarray(start)), `from ${start}`);
      }
      await store.completeMultipart(KEY, id, parts);
      const reading = other.readParts(KEY, id, parts, 0).next();
      await rejects(reading, MultipartNotFound, KEY);
    });
  });

  it('multipart uploads refuse part numbers out of bounds', async () => {
    for (const number of [0, -1, 1.5, 10_001, NaN]) await rejects(upload(number, small), InvalidPart, KEY);
    await upload(10_000, small);
  });

  describe('with a writer still active', () => {
    it('a multipart upload is copied if a writer has the segment open, so that it cannot write to the object', async () => {
      const first = await upload(1, large);
      const inode = await segmentInode();
      // Completes just when the second part's bytes are about to be written.
      const { open } = fs;
      mock.method(fs, 'open', async (path: string, flags: string) => {
        const handle = await open(path, flags);
        if (flags === 'r+') {
          mock.restoreAll();
          await other.completeMultipart(KEY, id, [first]);
        }
        return handle;
      });
      await rejects(upload(2, small), MultipartNotFound, KEY);
      assert.notEqual(await objectInode(), inode);
      await assertContent(large);
    });

    it('a multipart upload is renamed if a late writer has not opened the segment', async () => {
      const first = await upload(1, large);
      const inode = await segmentInode();
      const { open } = fs;
      mock.method(fs, 'open', async (path: string, flags: string) => {
        if (flags !== 'r+') return await open(path, flags);
        mock.restoreAll();
        await fs.rename(path, `${path}.sealed`);
        const writing = (await fs.readdir(folder())).filter((name) => name.endsWith('.writing'));
        assert.equal(writing.length, 1);
        return await open(path, flags);
      });
      const second = await upload(2, small);
      const sealed = (await segments()).find((name) => name.endsWith('.sealed')) ?? assert.fail('not sealed');
      const stats = await fs.lstat(folder(sealed));
      assert.deepEqual([stats.ino, stats.size], [inode, large.length]);
      await other.completeMultipart(KEY, id, [first, second]);
      await assertContent(whole);
    });
  });

  describe('that are killed', () => {
    it('a multipart upload killed before the rename is completed by a retry', async () => {
      const parts = [await upload(1, large), await upload(2, small)];
      const [segment = ''] = await segments();
      const inode = await segmentInode();
      await fs.rename(folder(segment), folder(`${segment}.sealed`));
      await other.completeMultipart(KEY, id, parts);
      assert.equal(await objectInode(), inode);
      await assertContent(whole);
      await assertClean();
    });

    it('a multipart upload killed before the rename takes further parts', async () => {
      const first = await upload(1, large);
      await fs.mkdir(join(root, KEY, 'in the way'), { recursive: true });
      await rejects(store.completeMultipart(KEY, id, [first]), InvalidKey);
      await fs.rm(join(root, KEY), { recursive: true });
      const second = await upload(2, small);
      await store.completeMultipart(KEY, id, [first, second]);
      await assertContent(whole);
    });

    it('a multipart upload killed after the rename is done', async () => {
      const parts = [await upload(1, large), await upload(2, small)];
      const [segment = ''] = await segments();
      await fs.mkdir(join(root, 'uploads/1'), { recursive: true });
      await fs.rename(folder(segment), join(root, KEY));
      await rejects(other.completeMultipart(KEY, id, parts), MultipartNotFound, KEY);
      await assertContent(whole);
      await assertClean();
    });

    it('a multipart upload killed after a copy is completed by a retry', async () => {
      const parts = [await upload(1, large), await upload(2, small, other)];
      await fs.cp(folder(), join(root, 'saved'), { recursive: true });
      await store.completeMultipart(KEY, id, parts);
      await fs.rename(join(root, 'saved'), folder());
      await other.completeMultipart(KEY, id, parts);
      await assertContent(whole);
      await assertClean();
    });

    it('a multipart upload killed during its abort is gone', async () => {
      const parts = [await upload(1, large)];
      await fs.rename(folder(), join(root, '.tmp/away'));
      await rejects(store.completeMultipart(KEY, id, parts), MultipartNotFound, KEY);
      await rejects(upload(2, small), MultipartNotFound, KEY);
    });

    it('a multipart upload killed during a part is completed without it', async () => {
      const first = await upload(1, large);
      const [segment = ''] = await segments();
      await fs.writeFile(folder(`2.etag.${segment}.${large.length}.7.writing`), '');
      await fs.appendFile(folder(segment), 'the');
      await rejects(
        other.completeMultipart(KEY, id, [first, { number: 2, etag: 'etag', size: 7 }]),
        InvalidPart,
      );
      await other.completeMultipart(KEY, id, [first]);
      await assertContent(large);
      await assertClean();
    });

    for (const [written, by] of [
      ['in order by one process', () => store],
      ['by two', () => other],
    ] as const) {
      it(`a multipart upload killed at any step loses nothing of parts written ${written}`, async () => {
        for (let step = 1, killed = true; killed; step++) {
          id = await store.createMultipart(KEY);
          const parts = [await upload(1, large), await upload(2, small, by())];
          const calls = killAfter(step);
          await store.completeMultipart(KEY, id, parts).catch(() => undefined);
          mock.restoreAll();
          killed = calls() > step;
          await other.completeMultipart(KEY, id, parts).catch((error: unknown) => {
            assert.ok(error instanceof MultipartNotFound, String(error));
          });
          await assertContent(whole);
          await store.delete([KEY]);
        }
      });
    }
  });
});

/** Lets so many calls of the file system through and then no more, as after a kill; returns how many were tried. */
function killAfter(steps: number): () => number {
  let calls = 0;
  for (const name of [
    'rename',
    'lstat',
    'readdir',
    'readFile',
    'mkdir',
    'open',
    'rm',
    'writeFile',
  ] as const) {
    const real = fs[name] as (...args: never[]) => unknown;
    mock.method(fs, name, (...args: never[]) =>
      ++calls > steps ? Promise.reject(new Error('killed')) : real(...args),
    );
  }
  return () => calls;
}
