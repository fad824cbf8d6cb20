import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Deadline } from '../../lib/storage/deadline.ts';
import {
  InvalidKey,
  ObjectNotFound,
  type ObjectStore,
  ObjectTooLarge,
  PreconditionFailed,
  RangeNotSatisfiable,
  StoreUnavailable,
} from '../../lib/storage/store.ts';
import { type Place, rejects } from './place.ts';

const text = (value: string): Buffer => Buffer.from(value);

async function contentOf(store: ObjectStore, key: string): Promise<string> {
  return (await store.read(key, 1 << 20)).bytes.toString();
}

async function isThere(store: ObjectStore, key: string): Promise<boolean> {
  return await store.head(key).then(
    () => true,
    (error: unknown) => {
      assert.ok(error instanceof ObjectNotFound, String(error));
      return false;
    },
  );
}

export function objectContract(place: Place): void {
  describe('reading and writing', () => {
    it('reads back what was put, by head, read and open', async () => {
      const key = `${place.fresh()}a/b`;
      const bytes = randomBytes(300_000);
      const info = await place.store.put(key, bytes);
      assert.equal(info.key, key);
      assert.equal(info.size, bytes.length);
      assert.match(info.etag, /^[^"]+$/);
      assert.ok(Math.abs(info.lastModified.getTime() - Date.now()) < 60_000);

      const head = await place.other.head(key);
      const { bytes: all, ...read } = await place.other.read(key, bytes.length);
      const { body, ...opened } = await place.other.open(key);
      assert.deepEqual(all, bytes);
      assert.deepEqual(await buffer(body), bytes);
      for (const seen of [head, read, opened]) {
        assert.deepEqual(
          { key: seen.key, size: seen.size, etag: seen.etag },
          { key, size: bytes.length, etag: info.etag },
        );
      }
      assert.deepEqual(read.lastModified, head.lastModified);
      assert.deepEqual(opened.lastModified, head.lastModified);
    });

    it('writes nothing after the deadline of a request', async () => {
      const [key, other] = [`${place.fresh()}a`, `${place.fresh()}b`];
      await place.store.put(key, text('before'));
      const work: (() => Promise<unknown>)[] = [
        async () => await place.store.put(key, text('late')),
        async () => await place.store.put(other, text('late')),
        async () => {
          await place.store.delete([key]);
        },
        async () => {
          await place.store.delete([key, other]);
        },
        async () => {
          await place.store.move(key, other);
        },
      ];
      for (const late of work) {
        await rejects(new Deadline(0).run(late), StoreUnavailable);
        const deadline = new Deadline(60_000);
        const ended = deadline.run(async () => {
          deadline.end();
          await late();
        });
        await rejects(ended, StoreUnavailable);
      }
      assert.equal(await contentOf(place.other, key), 'before');
      assert.equal(await isThere(place.other, other), false);
      await new Deadline(60_000).run(async () => await place.store.put(key, text('in time')));
      assert.equal(await contentOf(place.other, key), 'in time');
    });

    it('keeps objects of no bytes', async () => {
      const key = `${place.fresh()}empty`;
      assert.equal((await place.store.put(key, new Uint8Array())).size, 0);
      assert.equal((await place.store.head(key)).size, 0);
      assert.equal((await place.store.read(key, 0)).bytes.length, 0);
      assert.equal((await buffer((await place.store.open(key)).body)).length, 0);
    });

    it('writes only the bytes of the view it is given', async () => {
      const key = `${place.fresh()}view`;
      await place.store.put(key, text('0123456789').subarray(2, 5));
      assert.equal(await contentOf(place.store, key), '234');
    });

    it('replaces an object, with another ETag', async () => {
      const key = `${place.fresh()}a`;
      const first = await place.store.put(key, text('one'));
      const second = await place.other.put(key, text('two'));
      assert.notEqual(first.etag, second.etag);
      assert.equal((await place.store.head(key)).etag, second.etag);
      assert.equal(await contentOf(place.store, key), 'two');
    });

    it('shows a reader the old object or the new one, never a part or a mix', async () => {
      const key = `${place.fresh()}a`;
      const write = async (store: ObjectStore, fill: number) =>
        await store.put(key, Buffer.alloc(100_000 + fill, fill));
      await write(place.store, 0);
      const writes = [1, 2, 3, 4, 5, 6].map((fill) => write(fill % 2 ? place.store : place.other, fill));
      const reads = Array.from({ length: 8 }, () => place.other.read(key, 1 << 20));
      for (const { bytes } of await Promise.all(reads)) {
        const fill = bytes[0] ?? assert.fail();
        assert.deepEqual(bytes, Buffer.alloc(100_000 + fill, fill));
      }
      await Promise.all(writes);
    });

    it('says that an object does not exist', async () => {
      const key = `${place.fresh()}none`;
      await rejects(place.store.head(key), ObjectNotFound, key);
      await rejects(place.store.read(key, 10), ObjectNotFound, key);
      await rejects(place.store.open(key), ObjectNotFound, key);
      await rejects(place.store.open(key, { start: 0 }), ObjectNotFound, key);
    });

    it('the folder of an object is no object', async () => {
      const folder = `${place.fresh()}folder`;
      await place.store.put(`${folder}/a`, text('a'));
      await rejects(place.store.head(folder), ObjectNotFound, folder);
      await rejects(place.store.read(folder, 10), ObjectNotFound, folder);
      await rejects(place.store.open(folder), ObjectNotFound, folder);
      await rejects(place.store.head(`${folder}/a/b`), ObjectNotFound);
    });

    it('reading and writing does not read an object larger than the limit', async () => {
      const key = `${place.fresh()}a`;
      await place.store.put(key, text('12345'));
      await rejects(place.store.read(key, 4), ObjectTooLarge, key);
      assert.equal((await place.store.read(key, 5)).bytes.toString(), '12345');
    });

    it('opens an object that is not read to its end', async () => {
      const key = `${place.fresh()}a`;
      await place.store.put(key, randomBytes(1_000_000));
      const { body } = await place.store.open(key);
      body.destroy();
      const { body: again } = await place.store.open(key);
      for await (const chunk of again) {
        assert.ok((chunk as Buffer).length > 0);
        break;
      }
      assert.ok(again.destroyed);
    });
  });

  describe('ranges', () => {
    for (const [start, end, expected] of [
      [0, undefined, '0123456789'],
      [0, 0, '0'],
      [3, 5, '345'],
      [3, undefined, '3456789'],
      [9, 9, '9'],
      [9, undefined, '9'],
      [3, 10, '3456789'],
      [0, 1e12, '0123456789'],
    ] as const) {
      it(`gives bytes ${start} to ${end ?? 'the last'}, and the size of all`, async () => {
        const key = `${place.fresh()}a`;
        await place.store.put(key, text('0123456789'));
        const { body, size } = await place.store.open(key, end === undefined ? { start } : { start, end });
        assert.equal(size, 10);
        assert.equal((await buffer(body)).toString(), expected);
      });
    }

    it('refuses a range that starts at the end or beyond, and every range of an empty object', async () => {
      const key = `${place.fresh()}a`;
      await place.store.put(key, text('0123456789'));
      for (const start of [10, 11, 1e12]) {
        await assert.rejects(
          place.store.open(key, { start }),
          (error) => error instanceof RangeNotSatisfiable && error.size === 10 && error.key === key,
        );
      }
      await place.store.put(key, new Uint8Array());
      await rejects(place.store.open(key, { start: 0 }), RangeNotSatisfiable, key);
      await rejects(place.store.open(key, { start: 0, end: 0 }), RangeNotSatisfiable, key);
    });
  });

  describe('signed URLs', () => {
    it('a signed URL is undefined or serves the object', async () => {
      const key = `${place.fresh()}a b+c%25 文~:`;
      await place.store.put(key, text('content'));
      const url = await place.store.signedUrl(key, 60);
      if (url !== undefined) assert.equal(await (await fetch(url)).text(), 'content');
    });
  });

  describe('metadata', () => {
    const metadata = {
      'media-type': 'application/vnd.oci.image.index.v1+json',
      size: '1234',
      'a-b': '~ "x"',
    };
    const assertKept = (seen: Readonly<Record<string, string>>) => {
      if (place.options.metadata || Object.keys(seen).length > 0) assert.deepEqual(seen, metadata);
    };

    it('metadata are given back on request, or missing', async () => {
      const key = `${place.fresh()}a`;
      await place.store.put(key, text('a'), { metadata });
      assertKept((await place.other.head(key, { metadata: true })).metadata);
    });

    it('metadata are never those of content that was replaced', async () => {
      const key = `${place.fresh()}a`;
      await place.store.put(key, text('a'), { metadata: { size: '1' } });
      await place.store.put(key, text('b'), { metadata });
      assertKept((await place.store.head(key, { metadata: true })).metadata);
      await place.store.put(key, text('c'));
      assert.deepEqual((await place.store.head(key, { metadata: true })).metadata, {});
      await place.store.delete([key]);
      await place.store.put(key, text('a'));
      assert.deepEqual((await place.store.head(key, { metadata: true })).metadata, {});
    });

    it('metadata move with their object', async () => {
      const base = place.fresh();
      await place.store.put(`${base}a`, text('a'), { metadata });
      await place.store.put(`${base}to/b`, text('b'), { metadata: { size: '1' } });
      await place.store.move(`${base}a`, `${base}to/b`);
      assertKept((await place.store.head(`${base}to/b`, { metadata: true })).metadata);
      await place.store.put(`${base}c`, text('c'));
      await place.store.move(`${base}c`, `${base}to/b`);
      assert.deepEqual((await place.store.head(`${base}to/b`, { metadata: true })).metadata, {});
    });
  });

  describe('conditional writes', () => {
    it('conditional writes hold, or are ignored, as the limits of the store say', async () => {
      const key = `${place.fresh()}a`;
      const { etag } = await place.store.put(key, text('one'), { onlyIfAbsent: true });
      let { etag: last } = await place.store.put(key, text('two'), { ifMatch: etag });
      assert.equal(await contentOf(place.store, key), 'two');
      const { honoursOnlyIfAbsent, honoursIfMatch } = place.store.limits;
      const isHonoured = (condition: object) =>
        'ifMatch' in condition ? honoursIfMatch : honoursOnlyIfAbsent;
      for (const condition of [{ onlyIfAbsent: true }, { ifMatch: etag }]) {
        const write = place.store.put(key, text('three'), condition);
        if (isHonoured(condition)) await rejects(write, PreconditionFailed, key);
        else last = (await write).etag;
      }
      assert.equal((await place.other.head(key)).etag, last);
    });

    it('one of many concurrent writers creates an object, with its metadata; all do where the condition is ignored', async () => {
      const { honoursOnlyIfAbsent } = place.store.limits;
      const base = place.fresh();
      const creators = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? place.store : place.other));
      for (const key of [`${base}a`, `${base}new/folder/a`]) {
        const results = await Promise.allSettled(
          creators.map(async (store, i) => {
            await store.put(key, text(`${i}`), { onlyIfAbsent: true, metadata: { number: `${i}` } });
            return `${i}`;
          }),
        );
        for (const result of results)
          if (result.status === 'rejected') assert.ok(result.reason instanceof PreconditionFailed);
        const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
        if (!honoursOnlyIfAbsent) assert.equal(won.length, creators.length);
        else if (place.options.exactCreation) assert.equal(won.length, 1);
        const { bytes } = await place.other.read(key, 100);
        const { metadata } = await place.other.head(key, { metadata: true });
        assert.ok(won.includes(bytes.toString()), `${bytes.toString()} is none of ${won.join(', ')}`);
        if (place.options.metadata) assert.equal(metadata['number'], bytes.toString());
      }
    });

    it('an object can be created again after it was deleted', async () => {
      const key = `${place.fresh()}a/b`;
      for (const content of ['one', 'two']) {
        await place.store.put(key, text(content), { onlyIfAbsent: true });
        assert.equal(await contentOf(place.other, key), content);
        await place.other.delete([key]);
      }
    });
  });

  describe('moving', () => {
    it('moves an object, given what head said of it or nothing', async () => {
      const base = place.fresh();
      const info = await place.store.put(`${base}from/a`, text('content'));
      await place.store.move(`${base}from/a`, `${base}to/deep/b`, info);
      await place.store.delete([`${base}from/a`]);
      await rejects(place.store.head(`${base}from/a`), ObjectNotFound);
      assert.equal(await contentOf(place.other, `${base}to/deep/b`), 'content');
      await place.other.move(`${base}to/deep/b`, `${base}c`);
      assert.equal(await contentOf(place.store, `${base}c`), 'content');
    });

    it('a move keeps or deletes the source', async () => {
      const base = place.fresh();
      await place.store.put(`${base}a`, text('content'));
      await place.store.move(`${base}a`, `${base}b`);
      if (await isThere(place.other, `${base}a`)) {
        assert.equal(await contentOf(place.other, `${base}a`), 'content');
        await place.store.move(`${base}a`, `${base}b`);
      }
      assert.equal(await contentOf(place.other, `${base}b`), 'content');
    });

    it('replaces what was there', async () => {
      const base = place.fresh();
      await place.store.put(`${base}b`, text('old'));
      await place.store.put(`${base}a`, text('new content'));
      await place.store.move(`${base}a`, `${base}b`);
      assert.equal(await contentOf(place.store, `${base}b`), 'new content');
    });

    it('changes nothing when a key is moved to itself', async () => {
      const key = `${place.fresh()}a`;
      const info = await place.store.put(key, text('a'));
      await place.store.move(key, key);
      await place.store.move(key, key, info);
      assert.equal((await place.store.head(key)).etag, info.etag);
      assert.equal(await contentOf(place.store, key), 'a');
    });

    it('a move reports a missing source, also if it was already moved', async () => {
      const base = place.fresh();
      await rejects(place.store.move(`${base}none`, `${base}b`), ObjectNotFound, `${base}none`);
      const info = await place.store.put(`${base}a`, text('a'));
      await place.store.move(`${base}a`, `${base}b`, info);
      await place.store.delete([`${base}a`]);
      await rejects(place.store.move(`${base}a`, `${base}b`, info), ObjectNotFound, `${base}a`);
      assert.equal(await contentOf(place.store, `${base}b`), 'a');
    });

    it('a move refuses a source with another ETag', async () => {
      const base = place.fresh();
      const { etag } = await place.store.put(`${base}a`, text('one'));
      await place.store.put(`${base}a`, text('two'));
      const move = place.store.move(`${base}a`, `${base}b`, { size: 3, etag });
      await rejects(move, PreconditionFailed, `${base}a`);
      await rejects(place.store.move(`${base}a`, `${base}a`, { size: 3, etag }), PreconditionFailed);
      await rejects(place.store.head(`${base}b`), ObjectNotFound);
      assert.equal(await contentOf(place.store, `${base}a`), 'two');
    });
  });

  describe('deleting', () => {
    it('deletes many objects at once and ignores missing ones', async () => {
      const base = place.fresh();
      const keys = Array.from({ length: 30 }, (_, index) => `${base}${index % 3}/key ${index}+%`);
      for (const key of keys) await place.store.put(key, text(key));
      await place.store.put(`${base}kept`, text('kept'));
      await place.other.delete([...keys, `${base}none`, `${base}none/below`]);
      for (const key of keys) await rejects(place.store.head(key), ObjectNotFound);
      await place.store.delete(keys);
      await place.store.delete([]);
      assert.equal(await contentOf(place.store, `${base}kept`), 'kept');
      const left = await place.listed({ prefix: base }, ({ objects }) => objects.length === 1);
      assert.deepEqual(
        left.objects.map(({ key }) => key),
        [`${base}kept`],
      );
    });
  });

  describe('keys', () => {
    it('keys may be of any characters, and up to 1024 bytes long', async () => {
      const base = place.fresh();
      const keys = [
        ...[
          'with space',
          '+plus',
          '100%',
          '100%25',
          'q?a=b&c#d',
          '~tilde',
          'colon:x',
          'quote\'"',
          'back\\slash',
        ],
        ...['.hidden', 'a..b', '...', '中文/层', '\u{1f4e6}', '\ufffd', '<&>'],
      ].map((name) => base + name);
      const long = base + `${'é'.repeat(60)}/`.repeat(8);
      keys.push(long + 'x'.repeat(1024 - Buffer.byteLength(long)));
      for (const key of keys) await place.store.put(key, text(key));
      for (const key of keys) assert.equal(await contentOf(place.other, key), key);
    });

    it('invalid keys are refused by every method', async () => {
      const good = `${place.fresh()}good`;
      await place.store.put(good, text('good'));
      for (const key of [
        ...['', '/a', 'a/', 'a//b', '.', '..', '../a', 'a/../b', './a', 'a/.', 'a\0b', 'a\ud800'],
        ...['x'.repeat(1025), '文'.repeat(342)],
      ]) {
        await rejects(place.store.head(key), InvalidKey, key);
        await rejects(place.store.open(key), InvalidKey, key);
        await rejects(place.store.read(key, 10), InvalidKey, key);
        await rejects(place.store.put(key, text('a')), InvalidKey, key);
        await rejects(place.store.move(key, good), InvalidKey, key);
        await rejects(place.store.move(good, key), InvalidKey, key);
        await rejects(place.store.delete([good, key]), InvalidKey, key);
        await rejects(place.store.createMultipart(key), InvalidKey, key);
      }
      // Time for anything that a refused call may have started.
      await sleep(50);
      assert.equal(await contentOf(place.store, good), 'good');
    });
  });
}
