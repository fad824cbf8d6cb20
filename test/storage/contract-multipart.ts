import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';

import {
  InvalidPart,
  MultipartNotFound,
  type MultipartUpload,
  ObjectNotFound,
  type ObjectStore,
  PreconditionFailed,
  type UploadedPart,
} from '../../lib/storage/store.ts';
import { type Place, poll, rejects } from './place.ts';

const text = (value: string): Buffer => Buffer.from(value);

export function multipartContract(place: Place): void {
  describe('multipart uploads', () => {
    const large = new Map<string, Buffer>();
    /** Bytes just enough for a part that is not the last, the same for the same name. */
    const part = (name: string): Buffer => {
      const bytes = large.get(name) ?? randomBytes(place.store.limits.minPartSize);
      large.set(name, bytes);
      return bytes;
    };
    const assertContent = async (key: string, ...expected: readonly Buffer[]): Promise<void> => {
      const bytes = Buffer.concat(expected);
      const read = await place.other.read(key, bytes.length);
      assert.ok(read.bytes.equals(bytes), `${key} has other bytes`);
    };
    const begin = async (): Promise<{ key: string; id: string }> => {
      const key = `${place.fresh()}data`;
      return { key, id: await place.store.createMultipart(key) };
    };

    it('a multipart upload becomes one object of 12 MiB when it is completed', async () => {
      const { key, id } = await begin();
      const parts: UploadedPart[] = [];
      const bytes = [part('a'), part('b'), randomBytes(2 * 1024 * 1024)];
      for (const [index, chunk] of bytes.entries()) {
        const uploaded = await place.store.uploadPart(key, id, index + 1, chunk);
        assert.deepEqual([uploaded.number, uploaded.size], [index + 1, chunk.length]);
        parts.push(uploaded);
      }
      await rejects(place.store.head(key), ObjectNotFound);
      const info = await place.store.completeMultipart(key, id, parts);
      const head = await place.other.head(key);
      assert.deepEqual([info.key, info.size, info.etag], [key, head.size, head.etag]);
      await assertContent(key, ...bytes);
    });

    it('multipart uploads may have a single part of any size', async () => {
      const { key, id } = await begin();
      const only = await place.store.uploadPart(key, id, 7, text('short'));
      await place.store.completeMultipart(key, id, [only]);
      await assertContent(key, text('short'));
    });

    it('a multipart upload continues in another process', async () => {
      const { key, id } = await begin();
      const first = await place.store.uploadPart(key, id, 1, part('a'));
      const second = await place.other.uploadPart(key, id, 2, part('b'));
      const third = await place.store.uploadPart(key, id, 3, text('end'));
      await place.other.completeMultipart(key, id, [first, second, third]);
      await assertContent(key, part('a'), part('b'), text('end'));
    });

    it('multipart uploads take parts in any order and several at a time', async () => {
      const { key, id } = await begin();
      const third = await place.store.uploadPart(key, id, 3, text('end'));
      const [second, first] = await Promise.all([
        place.store.uploadPart(key, id, 2, part('b')),
        place.store.uploadPart(key, id, 1, part('a')),
      ]);
      await place.store.completeMultipart(key, id, [first, second, third]);
      await assertContent(key, part('a'), part('b'), text('end'));
    });

    it('multipart uploads take parts that follow one another while the one before is on its way', async () => {
      const { key, id } = await begin();
      const parts = await Promise.all(
        [part('a'), part('b'), text('end')].map((bytes, index) =>
          place.store.uploadPart(key, id, index + 1, bytes),
        ),
      );
      await place.store.completeMultipart(key, id, parts);
      await assertContent(key, part('a'), part('b'), text('end'));
    });

    it('multipart uploads leave out parts that are not named', async () => {
      const { key, id } = await begin();
      await place.store.uploadPart(key, id, 1, text('left out'));
      const second = await place.store.uploadPart(key, id, 2, part('a'));
      await place.store.uploadPart(key, id, 3, text('left out'));
      const fourth = await place.store.uploadPart(key, id, 4, text('end'));
      await place.store.uploadPart(key, id, 5, text('left out'));
      await place.store.completeMultipart(key, id, [second, fourth]);
      await assertContent(key, part('a'), text('end'));
    });

    it('a part written again differs from the earlier one', async () => {
      const { key, id } = await begin();
      const early = await place.store.uploadPart(key, id, 1, text('early'));
      const late = await place.store.uploadPart(key, id, 1, text('later'));
      assert.notEqual(early.etag, late.etag);
      await assertEither(place.store, key, id, early, text('early'));
      if (await exists(place.store, key)) return;
      await place.store.completeMultipart(key, id, [late]);
      await assertContent(key, text('later'));
    });

    it('multipart uploads never mix two writers of one part', async () => {
      const { key, id } = await begin();
      const [mine] = await Promise.all([
        place.store.uploadPart(key, id, 1, part('a')),
        place.other.uploadPart(key, id, 1, part('b')),
        place.store.uploadPart(key, id, 1, part('c')),
      ]);
      await assertEither(place.store, key, id, mine, part('a'));
    });

    it('multipart uploads replace an object whole', async () => {
      const key = `${place.fresh()}data`;
      await place.store.put(key, text('old'), { metadata: { size: '3' } });
      const id = await place.store.createMultipart(key);
      const only = await place.store.uploadPart(key, id, 1, text('new content'));
      await assertContent(key, text('old'));
      await place.store.completeMultipart(key, id, [only]);
      await assertContent(key, text('new content'));
      assert.deepEqual((await place.store.head(key, { metadata: true })).metadata, {});
    });

    it('a completed multipart upload is moved with its bytes and metadata', async () => {
      const { key, id } = await begin();
      const first = await place.store.uploadPart(key, id, 1, part('a'));
      const last = await place.store.uploadPart(key, id, 2, text('end'));
      const info = await place.store.completeMultipart(key, id, [first, last]);
      for (const source of [{ ...info, parts: [first, last] }, info]) {
        const to = `${place.fresh()}moved`;
        const wrong = { ...source, etag: 'another' };
        if (await exists(place.store, key)) {
          await rejects(place.store.move(key, to, wrong), PreconditionFailed, key);
          await place.store.move(key, to, source);
          await assertContent(to, part('a'), text('end'));
        }
      }
      await place.store.delete([key]);
    });

    it('multipart uploads can be concatenated on a store that supports it', async () => {
      const { key, id } = await begin();
      const parts = [
        await place.store.uploadPart(key, id, 1, part('a')),
        await place.store.uploadPart(key, id, 2, part('b')),
        await place.store.uploadPart(key, id, 3, text('which is left out')),
      ];
      await place.store.completeMultipart(key, id, parts);
      const [other, to] = [`${place.fresh()}other`, `${place.fresh()}all`];
      await place.store.put(other, part('c'));
      const first = { key, sizes: [part('a').length, part('b').length] };
      const second = { key: other, sizes: [part('c').length] };
      const metadata = { origin: 'here' };
      const done = await place.store.concatenate(to, [first, second], { tail: text('end'), metadata });
      if (!done) {
        await rejects(place.store.head(to), ObjectNotFound);
        return;
      }
      await assertContent(to, part('a'), part('b'), part('c'), text('end'));
      const seen = (await place.store.head(to, { metadata: true })).metadata;
      if (place.options.metadata || Object.keys(seen).length > 0) assert.deepEqual(seen, metadata);
      await assertContent(other, part('c'));
      assert.equal(await place.store.concatenate(to, [second], { tail: text('') }), true);
      await assertContent(to, part('c'));
      const gone = { key: `${other}-gone`, sizes: [1] };
      const missing = place.store.concatenate(to, [second, gone], { tail: text('end') });
      await rejects(missing, ObjectNotFound, gone.key);
      await assertContent(to, part('c'));
    });

    it('multipart uploads give their metadata to the object', async () => {
      const key = `${place.fresh()}data`;
      const metadata = { 'media-type': 'text/plain' };
      const id = await place.store.createMultipart(key, { metadata });
      const only = await place.store.uploadPart(key, id, 1, text('a'));
      await place.other.completeMultipart(key, id, [only]);
      const seen = (await place.store.head(key, { metadata: true })).metadata;
      if (place.options.metadata || Object.keys(seen).length > 0) assert.deepEqual(seen, metadata);
    });

    it('multipart uploads refuse parts that are too small, missing, of another ETag or out of order, and stay as they were', async () => {
      const { key, id } = await begin();
      const small = await place.store.uploadPart(key, id, 1, text('small'));
      const second = await place.store.uploadPart(key, id, 2, part('a'));
      const third = await place.store.uploadPart(key, id, 3, part('b'));
      for (const parts of [
        [],
        [small, second],
        [second, { ...third, number: 4 }],
        [second, { ...third, etag: second.etag }],
        [{ ...second, etag: small.etag }],
        [third, second],
        [second, second],
      ]) {
        await rejects(place.store.completeMultipart(key, id, parts), InvalidPart, key);
      }
      await rejects(place.store.head(key), ObjectNotFound);
      await place.store.completeMultipart(key, id, [second, third]);
      await assertContent(key, part('a'), part('b'));
    });

    it('multipart uploads are gone once completed, and a repetition leaves the object as it is', async () => {
      const { key, id } = await begin();
      const only = await place.store.uploadPart(key, id, 1, text('content'));
      const info = await place.store.completeMultipart(key, id, [only]);
      try {
        // Some servers answer a repetition as they did before.
        assert.equal((await place.other.completeMultipart(key, id, [only])).etag, info.etag);
      } catch (error) {
        assert.ok(error instanceof MultipartNotFound, String(error));
      }
      // Swift takes a part all the same, which then belongs to nothing.
      await place.store.uploadPart(key, id, 2, text('more')).catch((error: unknown) => {
        assert.ok(error instanceof MultipartNotFound, String(error));
      });
      await place.store.abortMultipart(key, id);
      await assertContent(key, text('content'));
    });

    it('two concurrent requests complete a multipart upload', async () => {
      const { key, id } = await begin();
      const only = await place.store.uploadPart(key, id, 1, part('a'));
      const results = await Promise.allSettled(
        [place.store, place.other].map((store) => store.completeMultipart(key, id, [only])),
      );
      assert.ok(results.some(({ status }) => status === 'fulfilled'));
      for (const result of results) {
        if (result.status === 'rejected') assert.ok(result.reason instanceof MultipartNotFound);
      }
      await assertContent(key, part('a'));
    });

    it('multipart uploads are gone once aborted, also when aborted again', async () => {
      const { key, id } = await begin();
      const only = await place.store.uploadPart(key, id, 1, text('content'));
      await place.other.abortMultipart(key, id);
      await place.store.abortMultipart(key, id);
      await rejects(place.store.uploadPart(key, id, 2, text('more')), MultipartNotFound, key);
      await rejects(place.store.completeMultipart(key, id, [only]), MultipartNotFound, key);
      await rejects(place.store.head(key), ObjectNotFound);
    });

    it('multipart uploads are not found by another id', async () => {
      const { key, id } = await begin();
      const only = await place.store.uploadPart(key, id, 1, text('content'));
      for (const wrong of ['nonsense', randomUUID(), '../../x', id.slice(0, -1)]) {
        await rejects(place.store.uploadPart(key, wrong, 1, text('a')), MultipartNotFound, key);
        await rejects(place.store.completeMultipart(key, wrong, [only]), MultipartNotFound, key);
        await place.store.abortMultipart(key, wrong);
      }
      await place.store.completeMultipart(key, id, [only]);
      await assertContent(key, text('content'));
    });

    it('multipart uploads are not found under another key', async () => {
      const { key, id } = await begin();
      const other = `${place.fresh()}data`;
      await rejects(place.store.uploadPart(other, id, 1, text('a')), MultipartNotFound, other);
      const only = await place.store.uploadPart(key, id, 1, text('content'));
      await rejects(place.store.uploadPart(other, id, 2, text('a')), MultipartNotFound, other);
      await rejects(place.store.completeMultipart(other, id, [only]), MultipartNotFound, other);
      await place.store.abortMultipart(other, id);
      await place.store.completeMultipart(key, id, [only]);
      await assertContent(key, text('content'));
    });

    it('multipart uploads are listed while they are in progress, and never as objects', async () => {
      const base = place.fresh();
      const uploadsUnder = async (prefix: string): Promise<MultipartUpload[]> => {
        const uploads: MultipartUpload[] = [];
        for await (const upload of place.other.listMultiparts(prefix)) uploads.push(upload);
        return uploads.sort((a, b) => (a.key < b.key ? -1 : 1));
      };
      const a = await place.store.createMultipart(`${base}a/data`);
      const b = await place.store.createMultipart(`${base}b 100%+/data`);
      await place.store.uploadPart(`${base}a/data`, a, 1, text('content'));
      const found = await poll(
        async () => await uploadsUnder(base),
        (uploads) => uploads.length === 2,
        place.options.lag,
      );
      assert.deepEqual(
        found.map(({ key, uploadId }) => ({ key, uploadId })),
        [
          { key: `${base}a/data`, uploadId: a },
          { key: `${base}b 100%+/data`, uploadId: b },
        ],
      );
      for (const { started } of found) assert.ok(Math.abs(started.getTime() - Date.now()) < 60_000);
      assert.deepEqual(
        (await uploadsUnder(`${base}b`)).map(({ uploadId }) => uploadId),
        [b],
      );
      assert.deepEqual((await place.store.list({ prefix: base })).objects, []);
      await place.store.abortMultipart(`${base}a/data`, a);
      await place.store.abortMultipart(`${base}b 100%+/data`, b);
      const left = await poll(
        async () => await uploadsUnder(base),
        (uploads) => uploads.length === 0,
        place.options.lag,
      );
      assert.deepEqual(left, []);
    });
  });
}

async function exists(store: ObjectStore, key: string): Promise<boolean> {
  try {
    await store.head(key);
    return true;
  } catch (error) {
    if (error instanceof ObjectNotFound) return false;
    throw error;
  }
}

/** Completing with a part that was written again gives that part's bytes or says that it is not there. */
async function assertEither(
  store: ObjectStore,
  key: string,
  id: string,
  part: UploadedPart,
  bytes: Buffer,
): Promise<void> {
  try {
    await store.completeMultipart(key, id, [part]);
  } catch (error) {
    assert.ok(error instanceof InvalidPart, String(error));
    assert.equal(await exists(store, key), false);
    return;
  }
  assert.ok((await store.read(key, bytes.length)).bytes.equals(bytes));
}
