/** A store in a folder, which is there while a file's tests run, and steps of tests of uploads on it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestFrom, digestParts, type Algorithm, type Digest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName, type RepositoryName } from '../../lib/protocol/names.ts';
import { blobData, uploadSession } from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import type { Chunk, Registry } from '../../lib/registry/interface.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';

export const MiB = 1024 * 1024;

let folder: Folder;
export let store: FilesystemStore;

before(async () => {
  folder = await temporaryFolder('uploads');
  store = await FilesystemStore.open(folder.path);
});

after(() => {
  folder.remove();
});

/** The store's folder. */
export const root = (): string => folder.path;

/** Every request meets another process, which knows nothing of the last. */
export const uploads = (on: ObjectStore = store): Registry['uploads'] => createRegistry(on).uploads;

let repositories = 0;
export const fresh = (): RepositoryName => parseRepositoryName(`team/app${(repositories += 1)}`);

export const digestIn = (algorithm: Algorithm, ...bytes: readonly Uint8Array[]): Digest => {
  const hash = createHash(algorithm);
  for (const each of bytes) hash.update(each);
  return digestFrom(algorithm, hash.digest('hex'));
};

export const digestOf = (...bytes: readonly Uint8Array[]): Digest => digestIn('sha256', ...bytes);

/** As a socket gives them: in pieces that know nothing of parts. */
export async function* body(bytes: Uint8Array, failure?: Error): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += 300_000)
    yield await Promise.resolve(bytes.subarray(at, at + 300_000));
  if (failure !== undefined) throw failure;
}

/** Sent with a Content-Range: more may follow. */
export const chunk = (bytes: Uint8Array, start: number): Chunk => ({
  body: body(bytes),
  start,
  length: bytes.byteLength,
  partial: true,
});

/** Sent without a range and a length, as docker does. */
export const stream = (bytes: Uint8Array, start = 0): Chunk => ({
  body: body(bytes),
  start,
  length: undefined,
  partial: false,
});

/** Whose connection breaks off after these bytes. */
export const broken = (bytes: Uint8Array, start: number, partial: boolean): Chunk => ({
  body: body(bytes, reset),
  start,
  length: bytes.byteLength + 1,
  partial,
});

export const reset = new Error('the connection was reset');

/** Breaks off once a part of the upload has gone to the store. */
export async function* brokenAfterPart(bytes: Uint8Array, prefix: string): AsyncIterable<Uint8Array> {
  yield* body(bytes);
  for (let begun = false; !begun;) {
    for await (const { key } of store.listMultiparts(prefix)) begun ||= key.startsWith(prefix);
    await sleep(5);
  }
  throw reset;
}

export type Take = (bytes: Uint8Array, start: number) => Chunk;

type Taken = readonly [Uint8Array, Take];

/** Starts an upload that has these bytes, each sent in its own way. */
export async function begun(name: RepositoryName, ...taken: readonly Taken[]): Promise<string> {
  return await begunAs(undefined, name, ...taken);
}

/** As {@link begun}. @param algorithm that it is announced to be finished in, if it is */
export async function begunAs(
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

export async function assertBlob(name: RepositoryName, digest: Digest, size?: number): Promise<void> {
  const info = await createRegistry(store).blobs.stat(name, digest);
  if (size !== undefined) assert.equal(info.size, size);
  await assertBytesRight(digest);
}

/** Every blob has the digest of its key. */
export async function assertBytesRight(digest: Digest): Promise<void> {
  const { body } = await store.open(blobData(digest));
  const actual = digestIn(digestParts(digest).algorithm, await buffer(body));
  assert.equal(actual, digest, 'a blob with other bytes than its digest');
}

export const hasBytes = async (digest: Digest): Promise<boolean> =>
  await store.head(blobData(digest)).then(
    () => true,
    () => false,
  );

/** Of an upload, what is in the bucket: keys, and multipart uploads under way (also those of blobs' own keys). */
export async function leftOf(id: string): Promise<string[]> {
  const { objects } = await store.list({ prefix: uploadSession(id).replace(/session$/, '') });
  const left = objects.map(({ key }) => key.slice(uploadSession(id).length - 'session'.length));
  for await (const { key } of store.listMultiparts('docker/registry/v2/blobs/')) left.push(key);
  for await (const { key } of store.listMultiparts(uploadSession(id).replace(/session$/, '')))
    left.push(`multipart ${key}`);
  return left;
}

/** Fails as it should, and leaves the session as it was. */
export async function assertUnchanged(
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

export const unknown = { failure: 'BLOB_UPLOAD_UNKNOWN', status: 404 };

/** Every kind of session there is: with and without parts, and with both kinds of hash. */
export const sessions: readonly (readonly [string, number, Take])[] = [
  ['a small upload', 1000, chunk],
  ['a small stream', 1000, stream],
  ['an upload with parts', 5 * MiB + 1000, chunk],
  ['a stream with parts', 5 * MiB + 1000, stream],
];

export const invalid = { failure: 'DIGEST_INVALID', status: 400 };

export async function assertGone(
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
