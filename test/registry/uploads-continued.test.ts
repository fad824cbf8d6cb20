/** Uploads in chunks on a folder, whose parts grow and whose digest is computed from stored bytes where it is not known. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { resumableHash } from '../../lib/registry/uploads/content-hash.ts';
import { uploadSession } from '../../lib/registry/layout.ts';
import type { Multipart } from '../../lib/registry/uploads/part-writer.ts';
import { observedStore } from '../../lib/storage/observed-store.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { withStoreCalls } from '../../lib/telemetry.ts';
import {
  assertBlob,
  begun,
  broken,
  chunk,
  digestIn,
  digestOf,
  fresh,
  MiB,
  reset,
  root,
  store,
  uploads,
} from './upload-steps.ts';

/** A store that counts the bytes of parts that are read. */
function counting(): { readonly on: ObjectStore; bytes: number } {
  const read = { on: store as ObjectStore, bytes: 0 };
  read.on = new Proxy<ObjectStore>(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property);
      if (typeof value !== 'function') return value;
      if (property !== 'readParts') return value.bind(target) as unknown;
      return async function* (...parameters: Parameters<NonNullable<ObjectStore['readParts']>>) {
        for await (const bytes of store.readParts(...parameters)) {
          read.bytes += bytes.byteLength;
          yield bytes;
        }
      };
    },
  });
  return read;
}

async function sessionOf(id: string): Promise<{ readonly multipart: Multipart; readonly hash: object }> {
  const { bytes } = await store.read(uploadSession(id), 64 * MiB);
  const line = bytes.toString('utf8', 0, bytes.indexOf('\n'));
  return JSON.parse(line) as { multipart: Multipart; hash: object };
}

describe('an upload in chunks on a folder', () => {
  it('chunks for one process become one part, of which nothing is read again', async () => {
    const name = fresh();
    const chunks = Array.from({ length: 6 }, () => randomBytes(4 * MiB));
    const read = counting();
    const registry = uploads(read.on);
    const id = await registry.start(name);
    let offset = 0;
    for (const bytes of chunks) offset = await registry.append(name, id, chunk(bytes, offset));
    const { multipart } = await sessionOf(id);
    assert.deepEqual(
      multipart.parts.map(({ number, size }) => [number, size]),
      [[1, 24 * MiB]],
    );
    await registry.finish(name, id, digestOf(...chunks), undefined);
    await assertBlob(name, digestOf(...chunks), 24 * MiB);
    assert.equal(read.bytes, 0);
  });

  it('each of several processes reads what it did not receive at most once', async () => {
    const name = fresh();
    const chunks = Array.from({ length: 8 }, () => randomBytes(6 * MiB));
    const processes = [counting(), counting()].map((read) => ({ read, registry: uploads(read.on) }));
    const id = await uploads().start(name);
    let offset = 0;
    for (const [i, bytes] of chunks.entries()) {
      const { registry } = processes[i % 2] ?? assert.fail();
      offset = await registry.append(name, id, chunk(bytes, offset));
    }
    await uploads().finish(name, id, digestOf(...chunks), undefined);
    await assertBlob(name, digestOf(...chunks), 48 * MiB);
    assert.deepEqual(
      processes.map(({ read }) => read.bytes),
      [18 * MiB, 24 * MiB],
    );
  });

  it('stored bytes are read through a store whose calls are observed', async () => {
    const name = fresh();
    const chunks = [randomBytes(6 * MiB), randomBytes(MiB)] as const;
    const id = await begun(name, [chunks[0], chunk]);
    const calls: string[] = [];
    const storeCall = (method: string) => {
      calls.push(method);
      return () => undefined;
    };
    const registry = uploads(
      withStoreCalls(
        observedStore(store, () => () => undefined),
        [{ storeCall }],
      ),
    );
    await registry.append(name, id, chunk(chunks[1], 6 * MiB));
    await registry.finish(name, id, digestOf(...chunks), undefined);
    await assertBlob(name, digestOf(...chunks), 7 * MiB);
    assert.ok(calls.includes('openPart'));
  });

  it('a chunk that broke off leaves the part as it was', async () => {
    const name = fresh();
    const chunks = [randomBytes(6 * MiB), randomBytes(3 * MiB)];
    const [first, second] = chunks as [Buffer, Buffer];
    const registry = uploads();
    const id = await registry.start(name);
    await registry.append(name, id, chunk(first, 0));
    await assert.rejects(
      registry.append(name, id, broken(second.subarray(0, 2 * MiB), 6 * MiB, true)),
      reset,
    );
    assert.equal(await registry.status(name, id), 6 * MiB);
    await registry.append(name, id, chunk(second, 6 * MiB));
    assert.equal((await sessionOf(id)).multipart.parts.length, 1);
    await registry.finish(name, id, digestOf(...chunks), undefined);
    await assertBlob(name, digestOf(...chunks), 9 * MiB);
  });

  it('stored bytes that were altered are noticed by the process that reads them', async () => {
    const name = fresh();
    const bytes = randomBytes(6 * MiB);
    const id = await begun(name, [bytes, chunk]);
    const { multipart } = await sessionOf(id);
    const folder = join(root(), '.tmp/multipart', multipart.uploadId);
    const segment =
      (await fs.readdir(folder)).find((file) => /^[^.]+$/.test(file) && file !== 'upload') ?? '';
    const file = await fs.open(join(folder, segment), 'r+');
    await file.write(Buffer.from([(bytes[1000] ?? 0) ^ 1]), 0, 1, 1000);
    await file.close();
    const unknown = { failure: 'BLOB_UPLOAD_UNKNOWN' };
    await assert.rejects(uploads().append(name, id, chunk(randomBytes(1000), 6 * MiB)), unknown);
    await assert.rejects(uploads().finish(name, id, digestOf(bytes), chunk(Buffer.of(1), 6 * MiB)), unknown);
  });

  it('a session of the last release continues with the state of its digest', async () => {
    const name = fresh();
    const [first, second] = [randomBytes(6 * MiB), randomBytes(MiB)];
    const id = await begun(name, [first, chunk]);
    const session = await sessionOf(id);
    const hash = await resumableHash();
    hash.update(first);
    // It synced all parts.
    const parts = session.multipart.parts.map((part) => ({ ...part, unsynced: false }));
    const saved = { ...session, multipart: { ...session.multipart, parts }, hash: hash.state() };
    await store.put(uploadSession(id), Buffer.from(`${JSON.stringify(saved)}\n`));
    const read = counting();
    await uploads(read.on).append(name, id, chunk(second, 6 * MiB));
    assert.equal(read.bytes, 0);
    await uploads().finish(name, id, digestOf(first, second), undefined);
    await assertBlob(name, digestOf(first, second), 7 * MiB);
  });

  it('the last bytes may come with a digest in another algorithm', async () => {
    const name = fresh();
    const [first, second] = [randomBytes(6 * MiB), randomBytes(MiB)];
    const id = await begun(name, [first, chunk]);
    const digest = digestIn('sha512', first, second);
    await uploads().finish(name, id, digest, chunk(second, 6 * MiB));
    await assertBlob(name, digest, 7 * MiB);
  });
});
