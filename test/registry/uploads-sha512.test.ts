import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Algorithm } from '../../lib/protocol/digests.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import {
  assertBlob,
  assertGone,
  begun,
  begunAs,
  body,
  chunk,
  digestIn,
  digestOf,
  fresh,
  hasBytes,
  invalid,
  leftOf,
  MiB,
  sessions,
  store,
  stream,
  uploads,
} from './upload-steps.ts';

/** How an upload was started: with the algorithm, as in the spec (end-4c), or without. */
const announcements: readonly (readonly [string, Algorithm | undefined])[] = [
  ['that was announced', 'sha512'],
  ['that was not announced', undefined],
];

describe('an upload that is finished in SHA-512', () => {
  for (const [how, announced] of announcements) {
    for (const [what, size, take] of sessions) {
      const prepared = async () => {
        const name = fresh();
        const sent = randomBytes(size);
        return { name, sent, id: await begunAs(announced, name, [sent, take]) };
      };

      it(`${how}: ${what} becomes the blob, also where the answer to that is lost`, async () => {
        const { name, sent, id } = await prepared();
        const digest = digestIn('sha512', sent);
        await uploads().finish(name, id, digest, undefined);
        await assertBlob(name, digest, size);
        assert.equal(await hasBytes(digestOf(sent)), false);
        assert.deepEqual(await leftOf(id), []);
        await uploads().finish(name, id, digest, undefined);
        await assertGone(name, id, digestIn('sha512', randomBytes(8)), undefined);
      });

      it(`${how}: ${what} becomes the blob with the last bytes in the closing request`, async () => {
        for (const more of [randomBytes(2000), randomBytes(6 * MiB)]) {
          const { name, sent, id } = await prepared();
          const digest = digestIn('sha512', sent, more);
          await uploads().finish(name, id, digest, take(more, size));
          await assertBlob(name, digest, size + more.length);
          assert.deepEqual(await leftOf(id), []);
          await uploads().finish(name, id, digest, take(more, size));
        }
      });

      it(`${how}: ${what} goes on in chunks and as a stream`, async () => {
        for (const next of [chunk, stream]) {
          const { name, sent, id } = await prepared();
          const more = randomBytes(MiB);
          await uploads().append(name, id, next(more, size));
          await uploads().finish(name, id, digestIn('sha512', sent, more), undefined);
          await assertBlob(name, digestIn('sha512', sent, more), size + more.length);
          assert.deepEqual(await leftOf(id), []);
        }
      });

      for (const [right, algorithm] of [
        ['the right one', 'sha512'],
        ['its SHA-256', 'sha256'],
      ] as const) {
        it(`${how}: ${what} can be finished by ${right} after a wrong one`, async () => {
          const { name, sent, id } = await prepared();
          const wrong = digestIn('sha512', randomBytes(8));
          // More than once: the first may have made an object of the parts.
          for (let i = 0; i < 2; i += 1)
            await assert.rejects(uploads().finish(name, id, wrong, undefined), invalid);
          assert.equal(await uploads().status(name, id), size);
          assert.equal(await hasBytes(wrong), false);
          await assert.rejects(createRegistry(store).blobs.stat(name, wrong), { failure: 'BLOB_UNKNOWN' });
          await uploads().finish(name, id, digestIn(algorithm, sent), undefined);
          await assertBlob(name, digestIn(algorithm, sent), size);
          assert.deepEqual(await leftOf(id), []);
        });
      }
    }

    it(`${how}: of no bytes at all is the empty blob`, async () => {
      const name = fresh();
      const id = await begunAs(announced, name);
      const wrong = digestIn('sha512', randomBytes(8));
      await assert.rejects(uploads().finish(name, id, wrong, undefined), invalid);
      await uploads().finish(name, id, digestIn('sha512'), undefined);
      await assertBlob(name, digestIn('sha512'), 0);
    });

    it(`${how}: is replaced by a PUT of the whole blob`, async () => {
      const name = fresh();
      const id = await begunAs(announced, name, [randomBytes(6 * MiB), stream]);
      const whole = randomBytes(6 * MiB);
      await uploads().finish(name, id, digestIn('sha512', whole), stream(whole));
      await assertBlob(name, digestIn('sha512', whole), whole.length);
      assert.deepEqual(await leftOf(id), []);
    });
  }

  // Of these bytes it knows no digest until an object is made of them, the last ones among them.
  for (const [what, size, take] of sessions)
    it(`SHA-512 not announced: ${what} keeps its last bytes after a wrong digest`, async () => {
      for (const length of [2000, 6 * MiB]) {
        const name = fresh();
        const [sent, more] = [randomBytes(size), randomBytes(length)];
        const id = await begun(name, [sent, take]);
        const wrong = digestIn('sha512', randomBytes(8));
        for (let i = 0; i < 2; i += 1)
          await assert.rejects(uploads().finish(name, id, wrong, take(more, size)), invalid);
        assert.equal(await hasBytes(wrong), false);
        const digest = digestIn('sha512', sent, more);
        // As of a body that was damaged on its way: the right one ends it all the same.
        await assert.rejects(uploads().finish(name, id, digest, take(randomBytes(length), size)), invalid);
        await uploads().finish(name, id, digest, take(more, size));
        await assertBlob(name, digest, size + length);
        assert.deepEqual(await leftOf(id), []);
      }
    });

  it('a blob with a SHA-512 may be uploaded in one request', async () => {
    const name = fresh();
    for (const size of [0, 1000, 9 * MiB]) {
      const bytes = randomBytes(size);
      const wrong = digestIn('sha512', randomBytes(8));
      await assert.rejects(uploads().put(name, wrong, { body: body(bytes), length: size }), invalid);
      await uploads().put(name, digestIn('sha512', bytes), { body: body(bytes), length: size });
      await assertBlob(name, digestIn('sha512', bytes), size);
    }
  });

  it('an upload announced with SHA-512 may be finished with SHA-256', async () => {
    for (const [, size, take] of sessions) {
      const name = fresh();
      const [sent, more] = [randomBytes(size), randomBytes(2000)];
      const id = await begunAs('sha512', name, [sent, take]);
      await assert.rejects(uploads().finish(name, id, digestOf(more), undefined), invalid);
      await uploads().finish(name, id, digestOf(sent), undefined);
      await assertBlob(name, digestOf(sent), size);
      const next = await begunAs('sha512', name, [sent, take]);
      await uploads().finish(name, next, digestOf(sent, more), take(more, size));
      await assertBlob(name, digestOf(sent, more), size + more.length);
    }
  });

  it('an upload announced with SHA-512 is hashed while it is received and not read again', async () => {
    for (const [, size, take] of sessions) {
      const name = fresh();
      const sent = randomBytes(size);
      const id = await begunAs('sha512', name, [sent, take]);
      const unread = new Proxy<ObjectStore>(store, {
        get(target, property) {
          if (property === 'open') return () => assert.fail('bytes are read');
          const value: unknown = Reflect.get(target, property);
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
      await uploads(unread).finish(name, id, digestIn('sha512', sent), undefined);
      await assertBlob(name, digestIn('sha512', sent), size);
    }
  });
});
