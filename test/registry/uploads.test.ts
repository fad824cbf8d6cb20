import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Digest } from '../../lib/protocol/digests.ts';
import type { RepositoryName } from '../../lib/protocol/names.ts';
import { blobData, uploadData, uploadSession } from '../../lib/registry/layout.ts';
import { resumableHash, type HashState } from '../../lib/registry/uploads/content-hash.ts';
import { MountHints } from '../../lib/registry/mount-hints.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import {
  assertBlob,
  assertGone,
  assertUnchanged,
  begun,
  body,
  brokenAfterPart,
  chunk,
  digestIn,
  digestOf,
  fresh,
  hasBytes,
  invalid,
  leftOf,
  MiB,
  reset,
  store,
  stream,
  unknown,
  uploads,
} from './upload-steps.ts';

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
    it(`an upload in chunks of ${sizes.join(', ')} MiB becomes the blob, whichever process takes each`, async () => {
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

  it('an upload may end with the last chunk in the closing request', async () => {
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

  it('an upload becomes the blob however it is split and sent', async () => {
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
    it(`a stream of ${size} bytes becomes the blob, by PATCH and empty PUT, by PUT, and by POST alone`, async () => {
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

  it('a stream of no bytes is the empty blob', async () => {
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
    it(`a stream continues with ${how} and reads its first bytes again`, async () => {
      const name = fresh();
      const [begin, middle, end] = [randomBytes(first), randomBytes(MiB), randomBytes(6 * MiB)];
      const id = await begun(name, [begin, stream], [middle, more], [end, more]);
      await uploads().finish(name, id, digestOf(begin, middle, end), undefined);
      await assertBlob(name, digestOf(begin, middle, end), first + 7 * MiB);
      assert.deepEqual(await leftOf(id), []);
    });

  it('a stream continues with more bytes in the closing request', async () => {
    const name = fresh();
    const [begin, end] = [randomBytes(6 * MiB), randomBytes(1000)];
    const id = await begun(name, [begin, stream]);
    await uploads().finish(name, id, digestOf(begin, end), stream(end, begin.length));
    await assertBlob(name, digestOf(begin, end), begin.length + end.length);
    assert.deepEqual(await leftOf(id), []);
  });
});

describe('an upload', () => {
  it('an upload that never began is unknown', async () => {
    const [name, other] = [fresh(), fresh()];
    const bytes = randomBytes(100);
    await uploads().put(other, digestOf(bytes), { body: body(bytes), length: undefined });
    await assertGone(name, '00000000-0000-4000-8000-000000000000', digestOf(bytes), undefined);
    await assert.rejects(createRegistry(store).blobs.stat(name, digestOf(bytes)), {
      failure: 'BLOB_UNKNOWN',
    });
  });

  it('a finished upload is unknown once the blob is removed from the repository', async () => {
    const name = fresh();
    const bytes = randomBytes(100);
    const id = await begun(name, [bytes, stream]);
    await uploads().finish(name, id, digestOf(bytes), undefined);
    await createRegistry(store).blobs.delete(name, digestOf(bytes));
    await assert.rejects(uploads().finish(name, id, digestOf(bytes), undefined), unknown);
  });

  it('an upload in progress does not list its repository in the catalog', async () => {
    const name = fresh();
    const id = await begun(name, [randomBytes(6 * MiB), stream]);
    assert.equal(
      (await createRegistry(store).catalog.list({ n: 1000, last: '' })).names.includes(name),
      false,
    );
    await uploads().cancel(name, id);
  });

  it('an upload in one request leaves nothing if it is interrupted, too short or has a wrong digest', async () => {
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

  it('an interrupted first request leaves no parts', async () => {
    const name = fresh();
    const id = await begun(name);
    const sent = brokenAfterPart(randomBytes(9 * MiB), uploadData(id, ''));
    const request = async () =>
      await uploads().append(name, id, { body: sent, start: 0, length: undefined, partial: false });
    await assertUnchanged(name, id, request, reset);
    assert.deepEqual(await leftOf(id), ['session']);
  });

  it('an upload refuses bytes once another request has finished it', async () => {
    const name = fresh();
    const id = await begun(name, [randomBytes(5 * MiB), chunk]);
    for await (const { key, uploadId } of store.listMultiparts(uploadData(id, '')))
      await store.abortMultipart(key, uploadId);
    const more = chunk(randomBytes(6 * MiB), 5 * MiB);
    await assertUnchanged(name, id, async () => await uploads().append(name, id, more), unknown);
  });
});

describe('a session that the last release saved', () => {
  /** As it wrote them: with the state of the hash, and without the algorithm, which was always the same. */
  async function madeOld(id: string, sent: Buffer): Promise<void> {
    const { bytes } = await store.read(uploadSession(id), 32 * MiB);
    const end = bytes.indexOf('\n');
    const description = JSON.parse(bytes.toString('utf8', 0, end)) as object;
    const resumable = await resumableHash();
    resumable.update(sent);
    const { algorithm, ...hash } = resumable.state() as Extract<HashState, { kind: 'resumable' }>;
    assert.equal(algorithm, 'sha256');
    const line = `${JSON.stringify({ ...description, hash })}\n`;
    await store.put(uploadSession(id), Buffer.concat([Buffer.from(line), bytes.subarray(end + 1)]));
  }

  for (const size of [1000, 5 * MiB + 1000]) {
    const prepared = async () => {
      const name = fresh();
      const sent = randomBytes(size);
      const id = await begun(name, [sent, chunk]);
      await madeOld(id, sent);
      return { name, id, sent };
    };

    it(`a session of the last release with ${size} bytes is finished`, async () => {
      for (const algorithm of ['sha256', 'sha512'] as const) {
        const { name, id, sent } = await prepared();
        const wrong = digestIn(algorithm, randomBytes(8));
        await assert.rejects(uploads().finish(name, id, wrong, undefined), invalid);
        await uploads().finish(name, id, digestIn(algorithm, sent), undefined);
        await assertBlob(name, digestIn(algorithm, sent), size);
      }
    });

    it(`a session of the last release with ${size} bytes continues`, async () => {
      const { name, id, sent } = await prepared();
      const [more, last] = [randomBytes(6 * MiB), randomBytes(1000)];
      await uploads().append(name, id, chunk(more, size));
      await uploads().finish(name, id, digestOf(sent, more, last), chunk(last, size + more.length));
      await assertBlob(name, digestOf(sent, more, last), size + more.length + last.length);
      assert.deepEqual(await leftOf(id), []);
    });
  }
});

describe('mount hints', () => {
  const secrets = ['hunter2'];
  const process = (): Registry['uploads'] => createRegistry(store, { secrets }).uploads;

  /** What is noted with the bytes, as another process reads it. */
  async function originOf(digest: Digest): Promise<RepositoryName | undefined> {
    return new MountHints(secrets).read((await store.head(blobData(digest), { metadata: true })).metadata);
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
        it(`a mount hint is written for ${what} that comes ${way} and is finished in ${algorithm}`, async () => {
          const name = fresh();
          const bytes = randomBytes(size);
          const digest = digestIn(algorithm, bytes);
          await push(name, bytes, digest);
          await assertBlob(name, digest, size);
          assert.equal(await originOf(digest), name);
          const other = fresh();
          const { blobs } = createRegistry(store, { secrets });
          assert.deepEqual(await blobs.mountFromAnywhere(other, digest), { digest, size, from: name });
          await assertBlob(other, digest, size);
        });

  it('no mount hint is written without a secret', async () => {
    const name = fresh();
    const bytes = randomBytes(1000);
    await uploads().put(name, digestOf(bytes), { body: body(bytes), length: bytes.length });
    assert.deepEqual((await store.head(blobData(digestOf(bytes)), { metadata: true })).metadata, {});
  });
});
