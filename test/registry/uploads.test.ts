import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { digestFrom, digestParts, type Algorithm, type Digest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import { blobData, uploadData, uploadSession } from '../../lib/registry/layout.ts';
import { MountHints } from '../../lib/registry/mount-hints.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { OffsetMismatch, type Chunk, type Registry } from '../../lib/registry/interface.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';

const MiB = 1024 * 1024;

let folder: Folder;
let store: FilesystemStore;

before(async () => {
  folder = await temporaryFolder('uploads');
  store = await FilesystemStore.open(folder.path);
});

after(() => {
  folder.remove();
});

/** Every request meets another process, which knows nothing of the last. */
const uploads = (on: ObjectStore = store): Registry['uploads'] => createRegistry(on).uploads;

let repositories = 0;
const fresh = (): RepositoryName => parseRepositoryName(`team/app${(repositories += 1)}`);

const digestIn = (algorithm: Algorithm, ...bytes: readonly Uint8Array[]): Digest => {
  const hash = createHash(algorithm);
  for (const each of bytes) hash.update(each);
  return digestFrom(algorithm, hash.digest('hex'));
};

const digestOf = (...bytes: readonly Uint8Array[]): Digest => digestIn('sha256', ...bytes);

/** As a socket gives them: in pieces that know nothing of parts. */
async function* body(bytes: Uint8Array, failure?: Error): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += 300_000)
    yield await Promise.resolve(bytes.subarray(at, at + 300_000));
  if (failure !== undefined) throw failure;
}

/** Sent with a Content-Range: more may follow. */
const chunk = (bytes: Uint8Array, start: number): Chunk => ({
  body: body(bytes),
  start,
  length: bytes.byteLength,
  partial: true,
});

/** Sent without a range and a length, as docker does. */
const stream = (bytes: Uint8Array, start = 0): Chunk => ({
  body: body(bytes),
  start,
  length: undefined,
  partial: false,
});

/** Whose connection breaks off after these bytes. */
const broken = (bytes: Uint8Array, start: number, partial: boolean): Chunk => ({
  body: body(bytes, reset),
  start,
  length: bytes.byteLength + 1,
  partial,
});

const reset = new Error('the connection was reset');

/** Breaks off once a part of the upload has gone to the store. */
async function* brokenAfterPart(bytes: Uint8Array, prefix: string): AsyncIterable<Uint8Array> {
  yield* body(bytes);
  for (let begun = false; !begun;) {
    for await (const { key } of store.listMultiparts(prefix)) begun ||= key.startsWith(prefix);
    await sleep(5);
  }
  throw reset;
}

type Take = (bytes: Uint8Array, start: number) => Chunk;

type Taken = readonly [Uint8Array, Take];

/** Starts an upload that has these bytes, each sent in its own way. */
async function begun(name: RepositoryName, ...taken: readonly Taken[]): Promise<string> {
  return await begunAs(undefined, name, ...taken);
}

/** As {@link begun}. @param algorithm that it is announced to be finished in, if it is */
async function begunAs(
  algorithm: Algorithm | undefined,
  name: RepositoryName,
  ...taken: readonly Taken[]
): Promise<string> {
  const id = await uploads().start(name, algorithm);
  let offset = 0;
  for (const [bytes, take] of taken) {
    const received = await uploads().append(name, id, take(bytes, offset));
    offset += bytes.byteLength;
    assert.equal(received, offset);
    assert.equal(await uploads().status(name, id), offset);
  }
  return id;
}

async function assertBlob(name: RepositoryName, digest: Digest, size?: number): Promise<void> {
  const info = await createRegistry(store).blobs.stat(name, digest);
  if (size !== undefined) assert.equal(info.size, size);
  await assertBytesRight(digest);
}

/** What lies under a digest has it. */
async function assertBytesRight(digest: Digest): Promise<void> {
  const { body } = await store.open(blobData(digest));
  const actual = digestIn(digestParts(digest).algorithm, await buffer(body));
  assert.equal(actual, digest, 'a blob with other bytes than its digest');
}

const hasBytes = async (digest: Digest): Promise<boolean> =>
  await store.head(blobData(digest)).then(
    () => true,
    () => false,
  );

/** Of an upload, what is in the bucket: keys, and multipart uploads under way (also those of blobs' own keys). */
async function leftOf(id: string): Promise<string[]> {
  const { objects } = await store.list({ prefix: uploadSession(id).replace(/session$/, '') });
  const left = objects.map(({ key }) => key.slice(uploadSession(id).length - 'session'.length));
  for await (const { key } of store.listMultiparts('docker/registry/v2/blobs/')) left.push(key);
  for await (const { key } of store.listMultiparts(uploadSession(id).replace(/session$/, '')))
    left.push(`multipart ${key}`);
  return left;
}

/** Fails as it should, and leaves the session as it was. */
async function assertUnchanged(
  name: RepositoryName,
  id: string,
  request: () => Promise<unknown>,
  error: object,
): Promise<void> {
  const read = async () => (await store.read(uploadSession(id), 32 * MiB)).bytes;
  const before = await read();
  await assert.rejects(request(), error);
  assert.ok(before.equals(await read()), 'the session was changed');
  await uploads().status(name, id);
}

const unknown = { failure: 'BLOB_UPLOAD_UNKNOWN', status: 404 };

describe('an upload in chunks', () => {
  for (const sizes of [
    [1, 1, 1],
    [3, 3, 3],
    [7, 7],
    [1, 3, 5, 7],
    [5, 0.5],
    [0.001, 8, 0.001],
    [4.99, 0.02, 5],
  ])
    it(`of ${sizes.join(', ')} MiB becomes the blob, whichever process takes each`, async () => {
      const name = fresh();
      const chunks = sizes.map((size) => randomBytes(size * MiB));
      const id = await begun(name, ...chunks.map((bytes) => [bytes, chunk] as const));
      const digest = digestOf(...chunks);
      await uploads().finish(name, id, digest, undefined);
      await assertBlob(
        name,
        digest,
        chunks.reduce((sum, { length }) => sum + length, 0),
      );
      assert.deepEqual(await leftOf(id), []);
    });

  it('may end with the last chunk in the closing request', async () => {
    for (const [first, last] of [
      [6, 6],
      [6, 0.1],
      [0.1, 6],
      [0.1, 0.1],
    ] as const) {
      const name = fresh();
      const [begin, end] = [randomBytes(first * MiB), randomBytes(last * MiB)];
      const id = await begun(name, [begin, chunk]);
      await uploads().finish(name, id, digestOf(begin, end), chunk(end, begin.length));
      await assertBlob(name, digestOf(begin, end), begin.length + end.length);
      assert.deepEqual(await leftOf(id), []);
    }
  });

  it('becomes the blob however it is cut and sent', async () => {
    const piece = fc.tuple(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(chunk, stream));
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 5 }),
        fc.option(piece, { nil: undefined }),
        async (pieces, last) => {
          const name = fresh();
          const id = await begun(name, ...pieces);
          const offset = await uploads().status(name, id);
          const digest = digestOf(...pieces.map(([bytes]) => bytes), last?.[0] ?? Buffer.alloc(0));
          await uploads().finish(name, id, digest, last?.[1](last[0], offset));
          await assertBlob(name, digest);
          assert.deepEqual(await leftOf(id), []);
        },
      ),
      { numRuns: 25 },
    );
  });
});

describe('an upload in one stream', () => {
  for (const size of [0, 1, 4 * MiB, 5 * MiB, 8 * MiB, 9 * MiB])
    it(`of ${size} bytes becomes the blob, by PATCH and empty PUT, by PUT, and by POST alone`, async () => {
      const name = fresh();
      const [patched, put, posted] = [randomBytes(size), randomBytes(size), randomBytes(size)];
      const first = await begun(name, [patched, stream]);
      await uploads().finish(name, first, digestOf(patched), undefined);
      const second = await begun(name);
      await uploads().finish(name, second, digestOf(put), stream(put));
      await uploads().put(name, digestOf(posted), { body: body(posted), length: size });
      for (const bytes of [patched, put, posted]) await assertBlob(name, digestOf(bytes), size);
      for (const id of [first, second]) assert.deepEqual(await leftOf(id), []);
    });

  it('of no bytes at all is the empty blob', async () => {
    const name = fresh();
    const id = await begun(name);
    await uploads().finish(name, id, digestOf(), undefined);
    await assertBlob(name, digestOf(), 0);
  });

  for (const [how, first, more] of [
    ['chunks', 6 * MiB, chunk],
    ['another stream', 9 * MiB, stream],
    ['chunks, when all fits the session', 1 * MiB, chunk],
  ] as const)
    it(`goes on with ${how}, where it reads its first bytes once more`, async () => {
      const name = fresh();
      const [begin, middle, end] = [randomBytes(first), randomBytes(MiB), randomBytes(6 * MiB)];
      const id = await begun(name, [begin, stream], [middle, more], [end, more]);
      await uploads().finish(name, id, digestOf(begin, middle, end), undefined);
      await assertBlob(name, digestOf(begin, middle, end), first + 7 * MiB);
      assert.deepEqual(await leftOf(id), []);
    });

  it('goes on with more bytes in the closing request', async () => {
    const name = fresh();
    const [begin, end] = [randomBytes(6 * MiB), randomBytes(1000)];
    const id = await begun(name, [begin, stream]);
    await uploads().finish(name, id, digestOf(begin, end), stream(end, begin.length));
    await assertBlob(name, digestOf(begin, end), begin.length + end.length);
    assert.deepEqual(await leftOf(id), []);
  });
});

/** Every kind of session there is: with and without parts, and with both kinds of hash. */
const sessions: readonly (readonly [string, number, Take])[] = [
  ['a small upload', 1000, chunk],
  ['a small stream', 1000, stream],
  ['an upload with parts', 5 * MiB + 1000, chunk],
  ['a stream with parts', 5 * MiB + 1000, stream],
];

for (const [what, size, take] of sessions)
  describe(`${what} that meets an error`, () => {
    async function prepared(): Promise<{
      name: RepositoryName;
      id: string;
      sent: Buffer;
      more: Buffer;
      finish: () => Promise<void>;
    }> {
      const name = fresh();
      const [sent, more] = [randomBytes(size), randomBytes(2000)];
      const id = await begun(name, [sent, take]);
      return {
        name,
        id,
        sent,
        more,
        finish: async () => {
          await uploads().append(name, id, chunk(more, size));
          await uploads().finish(name, id, digestOf(sent, more), undefined);
          await assertBlob(name, digestOf(sent, more), size + more.length);
        },
      };
    }

    it('refuses a chunk that starts elsewhere, says where it stands, and goes on', async () => {
      const { name, id, more, finish } = await prepared();
      for (const start of [0, size - 1, size + 1]) {
        const mismatch = (error: unknown) =>
          error instanceof OffsetMismatch && error.offset === size && error.status === 416;
        for (const request of [
          async () => await uploads().append(name, id, chunk(more, start)),
          async () => {
            await uploads().finish(name, id, digestOf(more), chunk(more, start));
          },
        ])
          await assertUnchanged(name, id, request, mismatch);
      }
      await finish();
    });

    it('keeps what it has when the digest is wrong, with and without more bytes', async () => {
      const { name, id, sent, more } = await prepared();
      const wrong = digestOf(randomBytes(8));
      for (const last of [undefined, chunk(more, size)])
        await assertUnchanged(
          name,
          id,
          async () => {
            await uploads().finish(name, id, wrong, last);
          },
          { failure: 'DIGEST_INVALID', status: 400 },
        );
      assert.equal(await hasBytes(wrong), false);
      await uploads().finish(name, id, digestOf(sent), undefined);
      await assertBlob(name, digestOf(sent), size);
    });

    it('keeps what it has when a body breaks off, and goes on', async () => {
      const { name, id, more, finish } = await prepared();
      for (const partial of [true, false])
        for (const bytes of partial ? [more, Buffer.alloc(0)] : [more, randomBytes(6 * MiB)]) {
          await assertUnchanged(
            name,
            id,
            async () => await uploads().append(name, id, broken(bytes, size, partial)),
            reset,
          );
          if (bytes !== more) continue;
          await assertUnchanged(
            name,
            id,
            async () => {
              await uploads().finish(name, id, digestOf(more), broken(bytes, size, partial));
            },
            reset,
          );
        }
      await finish();
    });

    for (const [which, difference] of [
      ['few', -1],
      ['many', 1],
    ] as const)
      it(`refuses a body of too ${which} bytes, and goes on`, async () => {
        const { name, id, more, finish } = await prepared();
        const short: Chunk = { ...chunk(more, size), length: more.length - difference };
        await assertUnchanged(name, id, async () => await uploads().append(name, id, short), {
          failure: 'SIZE_INVALID',
          status: 400,
        });
        await finish();
      });

    it('is replaced by a PUT of the whole blob, as containerd repeats it', async () => {
      const { name, id, sent, more } = await prepared();
      const whole = Buffer.concat([sent, more]);
      await uploads().finish(name, id, digestOf(whole), stream(whole));
      await assertBlob(name, digestOf(whole), whole.length);
      assert.deepEqual(await leftOf(id), []);
    });

    it('survives a PUT of a whole blob that breaks off or has another digest', async () => {
      const { name, id, finish } = await prepared();
      const whole = randomBytes(6 * MiB);
      const put = (last: Chunk) => async () => {
        await uploads().finish(name, id, digestOf(randomBytes(1)), last);
      };
      await assertUnchanged(name, id, put(broken(whole, 0, false)), reset);
      await assertUnchanged(name, id, put(stream(whole)), { failure: 'DIGEST_INVALID' });
      await finish();
    });

    it('is unknown to every other repository, which cannot finish or cancel it', async () => {
      const { name, id, sent, more, finish } = await prepared();
      const other = fresh();
      await uploads().put(other, digestOf(sent), { body: body(sent), length: size });
      for (const request of [
        async () => await uploads().status(other, id),
        async () => await uploads().append(other, id, chunk(more, size)),
        async () => {
          await uploads().finish(other, id, digestOf(sent), undefined);
        },
        async () => {
          await uploads().cancel(other, id);
        },
      ])
        await assertUnchanged(name, id, request, unknown);
      await finish();
    });

    it('is gone once it is cancelled, with all its bytes', async () => {
      const { name, id, sent, more } = await prepared();
      await uploads().cancel(name, id);
      assert.deepEqual(await leftOf(id), []);
      await assertGone(name, id, digestOf(sent), chunk(more, size));
      assert.equal(await hasBytes(digestOf(sent)), false);
    });

    it('may be finished twice, for the answer to the first may be lost', async () => {
      const { name, id, sent } = await prepared();
      await uploads().finish(name, id, digestOf(sent), undefined);
      await uploads().finish(name, id, digestOf(sent), undefined);
      await uploads().finish(name, id, digestOf(sent), stream(sent));
      await assertBlob(name, digestOf(sent), size);
      await assertGone(name, id, digestOf(randomBytes(8)), undefined);
    });
  });

async function assertGone(
  name: RepositoryName,
  id: string,
  digest: Digest,
  last: Chunk | undefined,
): Promise<void> {
  await assert.rejects(uploads().status(name, id), unknown);
  await assert.rejects(uploads().append(name, id, chunk(Buffer.alloc(1), 0)), unknown);
  await assert.rejects(uploads().finish(name, id, digest, last), unknown);
  await assert.rejects(uploads().cancel(name, id), unknown);
}

describe('an upload', () => {
  it('that never began is unknown, also when its blob is here in other repositories', async () => {
    const [name, other] = [fresh(), fresh()];
    const bytes = randomBytes(100);
    await uploads().put(other, digestOf(bytes), { body: body(bytes), length: undefined });
    await assertGone(name, '00000000-0000-4000-8000-000000000000', digestOf(bytes), undefined);
    await assert.rejects(createRegistry(store).blobs.stat(name, digestOf(bytes)), {
      failure: 'BLOB_UNKNOWN',
    });
  });

  it('that was finished is unknown once the blob was removed from the repository', async () => {
    const name = fresh();
    const bytes = randomBytes(100);
    const id = await begun(name, [bytes, stream]);
    await uploads().finish(name, id, digestOf(bytes), undefined);
    await createRegistry(store).blobs.delete(name, digestOf(bytes));
    await assert.rejects(uploads().finish(name, id, digestOf(bytes), undefined), unknown);
  });

  it('does not name its repository in the catalog before it is finished', async () => {
    const name = fresh();
    const id = await begun(name, [randomBytes(6 * MiB), stream]);
    assert.equal(
      (await createRegistry(store).catalog.list({ n: 1000, last: '' })).names.includes(name),
      false,
    );
    await uploads().cancel(name, id);
  });

  it('whole in one request leaves nothing when it breaks off, is too short or is another', async () => {
    const name = fresh();
    const bytes = randomBytes(9 * MiB);
    const digest = digestOf(bytes);
    const put = async (sent: AsyncIterable<Uint8Array>, length: number | undefined, as = digest) => {
      await uploads().put(name, as, { body: sent, length });
    };
    await assert.rejects(put(brokenAfterPart(bytes, blobData(digest)), undefined), reset);
    assert.deepEqual(await leftOf('none'), []);
    await assert.rejects(put(body(bytes.subarray(1)), bytes.length), { failure: 'SIZE_INVALID' });
    await assert.rejects(put(body(bytes), bytes.length - 1), { failure: 'SIZE_INVALID' });
    const wrong = digestOf(randomBytes(8));
    await assert.rejects(put(body(bytes), undefined, wrong), { failure: 'DIGEST_INVALID' });
    for (const each of [digest, wrong]) assert.equal(await hasBytes(each), false);
    assert.deepEqual(await leftOf('none'), []);
  });

  it('leaves no parts of a first request that breaks off', async () => {
    const name = fresh();
    const id = await begun(name);
    const sent = brokenAfterPart(randomBytes(9 * MiB), uploadData(id, ''));
    const request = async () =>
      await uploads().append(name, id, { body: sent, start: 0, length: undefined, partial: false });
    await assertUnchanged(name, id, request, reset);
    assert.deepEqual(await leftOf(id), ['session']);
  });

  it('does not take bytes for which the store has no place any more, as when another request has finished it', async () => {
    const name = fresh();
    const id = await begun(name, [randomBytes(5 * MiB), chunk]);
    for await (const { key, uploadId } of store.listMultiparts(uploadData(id, '')))
      await store.abortMultipart(key, uploadId);
    const more = chunk(randomBytes(6 * MiB), 5 * MiB);
    await assertUnchanged(name, id, async () => await uploads().append(name, id, more), unknown);
  });
});

/** What an upload was begun with: the algorithm, as the spec asks for (end-4c), or nothing. */
const announcements: readonly (readonly [string, Algorithm | undefined])[] = [
  ['that was announced', 'sha512'],
  ['that was not announced', undefined],
];

const invalid = { failure: 'DIGEST_INVALID', status: 400 };

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
    it(`that was not announced: ${what} keeps its last bytes, too, when the digest is wrong`, async () => {
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

  it('may be sent whole in one request', async () => {
    const name = fresh();
    for (const size of [0, 1000, 9 * MiB]) {
      const bytes = randomBytes(size);
      const wrong = digestIn('sha512', randomBytes(8));
      await assert.rejects(uploads().put(name, wrong, { body: body(bytes), length: size }), invalid);
      await uploads().put(name, digestIn('sha512', bytes), { body: body(bytes), length: size });
      await assertBlob(name, digestIn('sha512', bytes), size);
    }
  });

  it('may have been announced in it, and be finished in SHA-256', async () => {
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

  it('hashes an announced upload while it passes, and reads nothing once more', async () => {
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

describe('a session that the version before saved', () => {
  /** As it wrote them: without the algorithm, which was always the same. */
  async function madeOld(id: string): Promise<void> {
    const { bytes } = await store.read(uploadSession(id), 32 * MiB);
    const end = bytes.indexOf('\n');
    const description = JSON.parse(bytes.toString('utf8', 0, end)) as { hash: Record<string, unknown> };
    const { algorithm, ...hash } = description.hash;
    assert.deepEqual([hash['kind'], algorithm], ['resumable', 'sha256']);
    const line = `${JSON.stringify({ ...description, hash })}\n`;
    await store.put(uploadSession(id), Buffer.concat([Buffer.from(line), bytes.subarray(end + 1)]));
  }

  for (const size of [1000, 5 * MiB + 1000]) {
    const prepared = async () => {
      const name = fresh();
      const sent = randomBytes(size);
      const id = await begun(name, [sent, chunk]);
      await madeOld(id);
      return { name, id, sent };
    };

    it(`with ${size} bytes is finished`, async () => {
      for (const algorithm of ['sha256', 'sha512'] as const) {
        const { name, id, sent } = await prepared();
        const wrong = digestIn(algorithm, randomBytes(8));
        await assert.rejects(uploads().finish(name, id, wrong, undefined), invalid);
        await uploads().finish(name, id, digestIn(algorithm, sent), undefined);
        await assertBlob(name, digestIn(algorithm, sent), size);
      }
    });

    it(`with ${size} bytes goes on`, async () => {
      const { name, id, sent } = await prepared();
      const [more, last] = [randomBytes(6 * MiB), randomBytes(1000)];
      await uploads().append(name, id, chunk(more, size));
      await uploads().finish(name, id, digestOf(sent, more, last), chunk(last, size + more.length));
      await assertBlob(name, digestOf(sent, more, last), size + more.length + last.length);
      assert.deepEqual(await leftOf(id), []);
    });
  }
});

describe('the origin of a blob', () => {
  const secrets = ['hunter2'];
  const process = (): Registry['uploads'] => createRegistry(store, { secrets }).uploads;

  /** What is noted with the bytes, as another process reads it. */
  async function originOf(digest: Digest): Promise<RepositoryName | undefined> {
    return new MountHints(secrets).read((await store.head(blobData(digest))).metadata);
  }

  const ways: Readonly<
    Record<string, (name: RepositoryName, bytes: Buffer, digest: Digest) => Promise<void>>
  > = {
    'in one request': async (name, bytes, digest) => {
      await process().put(name, digest, { body: body(bytes), length: bytes.length });
    },
    'in chunks': async (name, bytes, digest) => {
      const id = await process().start(name);
      const half = bytes.length / 2;
      await process().append(name, id, chunk(bytes.subarray(0, half), 0));
      await process().append(name, id, chunk(bytes.subarray(half), half));
      await process().finish(name, id, digest, undefined);
    },
    'as a stream and an empty PUT': async (name, bytes, digest) => {
      const id = await process().start(name);
      await process().append(name, id, stream(bytes));
      await process().finish(name, id, digest, undefined);
    },
    'as a stream that goes on': async (name, bytes, digest) => {
      const id = await process().start(name);
      const most = bytes.length - 100;
      await process().append(name, id, stream(bytes.subarray(0, most)));
      await process().finish(name, id, digest, chunk(bytes.subarray(most), most));
    },
    'by a PUT of the whole blob': async (name, bytes, digest) => {
      await process().finish(name, await process().start(name), digest, stream(bytes));
    },
  };
  for (const [way, push] of Object.entries(ways))
    for (const [what, size] of [
      ['small', 1000],
      ['large', 9 * MiB],
    ] as const)
      for (const algorithm of ['sha256', 'sha512'] as const)
        it(`is noted where it is ${what}, comes ${way} and is finished in ${algorithm}`, async () => {
          const name = fresh();
          const bytes = randomBytes(size);
          const digest = digestIn(algorithm, bytes);
          await push(name, bytes, digest);
          await assertBlob(name, digest, size);
          assert.equal(await originOf(digest), name);
          const other = fresh();
          const { blobs } = createRegistry(store, { secrets });
          assert.equal(await blobs.mountFromAnywhere(other, digest), true);
          await assertBlob(other, digest, size);
        });

  it('is noted nowhere without a secret', async () => {
    const name = fresh();
    const bytes = randomBytes(1000);
    await uploads().put(name, digestOf(bytes), { body: body(bytes), length: bytes.length });
    assert.deepEqual((await store.head(blobData(digestOf(bytes)))).metadata, {});
  });
});

class Killed extends Error {}

/** The store of a process that is killed after so many changes; `done` tells if the next is made and only its answer lost. */
function killed(after: number, done: boolean): { store: ObjectStore; wasKilled: () => boolean } {
  const reads = new Set<keyof ObjectStore>(['head', 'open', 'read', 'list', 'signedUrl']);
  let left = after;
  let dead = false;
  const pass = async (method: keyof ObjectStore, call: () => Promise<unknown>): Promise<unknown> => {
    if (dead) throw new Killed();
    if (reads.has(method)) return await call();
    left -= 1;
    if (left >= 0) return await call();
    dead = true;
    if (done) await call();
    throw new Killed();
  };
  const dying = new Proxy<ObjectStore>(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) =>
        await pass(
          property as keyof ObjectStore,
          async () => (await Reflect.apply(value, target, args)) as unknown,
        );
    },
  });
  return { store: dying, wasKilled: () => dead };
}

interface Step {
  readonly what: string;
  readonly before: readonly (readonly [number, Take])[];
  /** Sent with the request under test, if any. */
  readonly size: number | undefined;
  readonly kind: 'append' | 'finish' | 'whole';
  readonly take: Take;
  /** In which it is finished, without having been announced; SHA-256 where nothing is said. */
  readonly algorithm?: Algorithm;
}

describe('a process killed at any change of the bucket', () => {
  const small = 1000;
  const large = 5 * MiB + 1000;
  const steps: readonly Step[] = [
    {
      what: 'the empty PUT after a small stream',
      before: [[small, stream]],
      size: undefined,
      kind: 'finish',
      take: stream,
    },
    {
      what: 'the empty PUT after a stream',
      before: [[large, stream]],
      size: undefined,
      kind: 'finish',
      take: stream,
    },
    {
      what: 'the empty PUT after chunks',
      before: [
        [large, chunk],
        [small, chunk],
      ],
      size: undefined,
      kind: 'finish',
      take: chunk,
    },
    { what: 'a PUT with the last chunk', before: [[large, chunk]], size: small, kind: 'finish', take: chunk },
    {
      what: 'a PUT with more bytes after a stream',
      before: [[large, stream]],
      size: small,
      kind: 'finish',
      take: stream,
    },
    { what: 'a PUT of the whole blob', before: [], size: large, kind: 'whole', take: stream },
    {
      what: 'a PUT of the whole blob over an attempt',
      before: [[large, stream]],
      size: large,
      kind: 'whole',
      take: stream,
    },
    { what: 'a first PATCH', before: [], size: large, kind: 'append', take: stream },
    { what: 'a PATCH with a chunk', before: [[large, chunk]], size: large, kind: 'append', take: chunk },
    {
      what: 'a PATCH with more bytes after a stream',
      before: [[large, stream]],
      size: small,
      kind: 'append',
      take: chunk,
    },
    {
      what: 'the empty PUT in SHA-512 after chunks',
      before: [
        [large, chunk],
        [small, chunk],
      ],
      size: undefined,
      kind: 'finish',
      take: chunk,
      algorithm: 'sha512',
    },
    {
      what: 'a PUT in SHA-512 with the last chunk',
      before: [[large, chunk]],
      size: small,
      kind: 'finish',
      take: chunk,
      algorithm: 'sha512',
    },
  ];

  for (const { what, before, size, kind, take, algorithm = 'sha256' } of steps)
    it(`of ${what}: the client's repetition finishes, with the right bytes`, async () => {
      let kills = 0;
      for (const done of [false, true])
        for (let after = 0; ; after += 1) {
          const name = fresh();
          const taken = before.map(([length, how]) => [randomBytes(length), how] as const);
          const id = await begun(name, ...taken);
          const offset = await uploads().status(name, id);
          const more = size === undefined ? undefined : randomBytes(size);
          const all = [
            ...(kind === 'whole' ? [] : taken.map(([bytes]) => bytes)),
            ...(more === undefined ? [] : [more]),
          ];
          const digest = digestIn(algorithm, ...all);
          const last = () => (more === undefined ? undefined : take(more, kind === 'whole' ? 0 : offset));
          const send = async (on: Registry['uploads']): Promise<void> => {
            if (kind === 'append' && more !== undefined) await on.append(name, id, take(more, offset));
            else await on.finish(name, id, digest, last());
          };
          const process = killed(after, done);
          await send(uploads(process.store)).catch((error: unknown) => {
            assert.ok(process.wasKilled(), String(error));
            assert.ok(error instanceof Killed, String(error));
          });
          if (await hasBytes(digest)) await assertBytesRight(digest);
          if (kind === 'append') {
            // As a client does: it sends again what the upload does not have.
            if ((await uploads().status(name, id)) === offset) await send(uploads());
            await uploads().finish(name, id, digest, undefined);
          } else if (process.wasKilled()) {
            await send(uploads());
          }
          await assertBlob(name, digest);
          await assert.rejects(uploads().status(name, id), unknown);
          if (!process.wasKilled()) break;
          kills += 1;
        }
      assert.ok(kills >= 4, `only ${kills} kills`);
    });
});
