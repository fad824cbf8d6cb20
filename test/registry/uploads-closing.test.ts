/** Requests that finish one upload at the same time, as a client sends them that was not answered soon enough. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { RegistryError } from '../../lib/protocol/errors.ts';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { blobData } from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import type { Chunk } from '../../lib/registry/interface.ts';
import { InvalidPart, MultipartNotFound, type ObjectStore } from '../../lib/storage/store.ts';
import { digestOf as hexDigestOf } from '../functions/client.ts';
import { intercepted } from './interrupted.ts';
import { MemoryStore } from './memory-store.ts';
import { onStores } from './on-stores.ts';

const name = parseRepositoryName('team/app');

const chunk = (bytes: Uint8Array, start: number): Chunk => ({
  body: (async function* () {
    yield await Promise.resolve(bytes);
  })(),
  start,
  length: bytes.byteLength,
  partial: true,
});

/** An upload that has chunks, and a request that finishes it, with the last bytes or without any. */
async function begin(store: ObjectStore, sizes: readonly number[], last = 0) {
  const chunks = sizes.map((size) => randomBytes(size));
  const id = await createRegistry(store).uploads.start(name);
  let offset = 0;
  for (const bytes of chunks)
    offset = await createRegistry(store).uploads.append(name, id, chunk(bytes, offset));
  const rest = randomBytes(last);
  const bytes = Buffer.concat([...chunks, rest]);
  const digest = parseDigest(hexDigestOf(bytes));
  const finish = async (on: ObjectStore): Promise<void> => {
    const closing = last === 0 ? undefined : chunk(rest, offset);
    await createRegistry(on).uploads.finish(name, id, digest, closing);
  };
  const assertFolderExists = async (): Promise<void> => {
    assert.ok((await store.read(blobData(digest), bytes.length)).bytes.equals(bytes));
    assert.ok(await createRegistry(store).blobs.has(name, digest));
  };
  return { finish, assertFolderExists };
}

const unavailable = {
  failure: 'UNAVAILABLE',
  status: 503,
  message: /another request is finishing this upload/,
};

/** What servers answer to a completion, or to the part before it, while they are still putting the object together. */
const answers: Readonly<Record<string, (key: string) => unknown>> = {
  'there is no such upload': (key) => {
    throw new MultipartNotFound(key);
  },
  'its parts are not there': (key) => {
    throw new InvalidPart(key, 'no such part');
  },
  // As versitygw does, long before it is.
  'it is done': (key) => ({ key, size: 1, lastModified: new Date(), etag: 'etag', number: 1 }),
};

describe('an upload that a server is still completing', () => {
  for (const [what, answer] of Object.entries(answers))
    for (const sizes of [[1500], [1500, 300], [1500, 1500, 300]])
      it(`an upload of ${sizes.join(', ')} bytes that is being completed asks for a retry if the server says that ${what}`, async () => {
        const store = new MemoryStore({ partsReplace: true, copies: true, conditionalWrites: true });
        const { finish, assertFolderExists } = await begin(store, sizes);
        const completing = new Proxy<ObjectStore>(store, {
          get(target, property) {
            const value: unknown = Reflect.get(target, property);
            if (typeof value !== 'function') return value;
            if (property !== 'completeMultipart' && property !== 'uploadPart')
              return value.bind(target) as unknown;
            return async (key: string) => await Promise.resolve(answer(key));
          },
        });
        await assert.rejects(finish(completing), unavailable);
        await finish(store);
        await assertFolderExists();
        await finish(store);
      });

  it('an aborted upload is unknown', async () => {
    const store = new MemoryStore({ partsReplace: true, copies: true, conditionalWrites: true });
    const id = await createRegistry(store).uploads.start(name);
    const bytes = randomBytes(1500);
    await createRegistry(store).uploads.append(name, id, chunk(bytes, 0));
    // Between the look at its session and the end of its parts.
    const cancelled = intercepted(store, async (method) => {
      if (method === 'completeMultipart') await createRegistry(store).uploads.cancel(name, id);
    });
    const { uploads } = createRegistry(cancelled);
    const digest = parseDigest(hexDigestOf(bytes));
    await assert.rejects(uploads.finish(name, id, digest, undefined), { failure: 'BLOB_UPLOAD_UNKNOWN' });
  });

  it('an unfinished upload is not an existing blob for other uploads by another algorithm', async () => {
    const store = new MemoryStore({ partsReplace: true, copies: true });
    const secret = randomBytes(2000);
    const digest = parseDigest(hexDigestOf(secret, 'sha512'));
    const other = parseRepositoryName('team/secret');
    const blob = { body: chunk(secret, 0).body, length: secret.length };
    await createRegistry(store).uploads.put(other, digest, blob);
    const { uploads } = createRegistry(store);
    const id = await uploads.start(name);
    await uploads.append(name, id, chunk(randomBytes(1500), 0));
    for await (const { key, uploadId } of store.listMultiparts('')) await store.abortMultipart(key, uploadId);
    await assert.rejects(uploads.finish(name, id, digest, undefined), unavailable);
    assert.equal(await createRegistry(store).blobs.has(name, digest), false);
  });
});

const MiB = 1024 ** 2;

/** Each request succeeds, or is asked to retry and then succeeds. */
function finishTogether(open: () => ObjectStore): void {
  for (const [what, sizes, last] of [
    ['that has a part', [5 * MiB], 0],
    ['that has a part and some bytes', [5 * MiB, 1000], 0],
    ['that has parts of several requests', [5 * MiB, 5 * MiB, 1000], 0],
    ['with its last bytes', [5 * MiB], 1000],
  ] as const)
    it(`finish one ${what}`, async () => {
      const store = open();
      const { finish, assertFolderExists } = await begin(store, sizes, last);
      const request = async (): Promise<void> => {
        for (let again = 0; ; again++)
          try {
            await finish(store);
            return;
          } catch (error) {
            assert.ok(
              error instanceof RegistryError && error.failure === 'UNAVAILABLE' && again < 50,
              String(error),
            );
          }
      };
      await Promise.all(Array.from({ length: 4 }, request));
      await assertFolderExists();
    });
}

onStores('four requests at once', finishTogether);
