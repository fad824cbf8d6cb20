import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import type { Chunk } from '../../lib/registry/interface.ts';
import { blobData, layerLink, uploadSession, uploadsPrefix } from '../../lib/registry/layout.ts';
import { purgeUploads } from '../../lib/registry/uploads/purge.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { recordSyncs, type RecordedSyncs } from '../storage/recorded-syncs.ts';
import { intercepted } from './interrupted.ts';
import {
  assertFolderExists,
  byDigest,
  digestOf,
  folder,
  fresh,
  imageOf,
  push,
  pushBlob,
  registry,
  store,
  tagged,
} from './manifest-steps.ts';

const at = (key: string) => join(folder.path, key);
const unknownUpload = { failure: 'BLOB_UPLOAD_UNKNOWN' };

function chunk(bytes: Buffer, start = 0): Chunk {
  const body = (async function* () {
    yield await Promise.resolve(bytes);
  })();
  return { body, start, length: bytes.byteLength, partial: false };
}

describe('a push to a folder, before its response', () => {
  let recorded: RecordedSyncs;

  beforeEach(() => {
    recorded = recordSyncs();
  });
  afterEach(() => {
    mock.restoreAll();
  });

  /** Sessions and hints may be lost. */
  const assertDurable = () => {
    const mayBeLost = /\/(\.tmp|\.metadata|docker\/registry\/v2\/uploads)(\/|$)/;
    assert.deepEqual(
      [...recorded.changed].filter((path) => !mayBeLost.test(path)),
      [],
    );
    assert.deepEqual(
      recorded.early.filter((path) => !path.startsWith(at(uploadsPrefix))),
      [],
    );
  };

  it('a blob and its link are durable when an upload is finished', async () => {
    const name = fresh();
    const bytes = randomBytes(3000);
    const id = await registry().uploads.start(name);
    await registry().uploads.append(name, id, chunk(bytes));
    assert.deepEqual(new Set(recorded.early), new Set([at(uploadSession(id))]));
    await registry().uploads.finish(name, id, digestOf(bytes), undefined);
    assertDurable();
    assert.equal((await registry().blobs.stat(name, digestOf(bytes))).size, 3000);
  });

  for (const [what, size] of [
    ['small', 3000],
    ['in parts', 9 * 1024 ** 2],
  ] as const)
    it(`a blob and its link are durable when it was put whole: ${what}`, async () => {
      const name = fresh();
      const digest = await pushBlob(name, randomBytes(size));
      assertDurable();
      assert.equal((await registry().blobs.stat(name, digest)).size, size);
    });

  it('a manifest and all links to it are durable', async () => {
    const name = fresh();
    const bytes = imageOf(await pushBlob(name), [await pushBlob(name)]);
    await push(name, bytes, 'v1', 'v2');
    assertDurable();
    for (const reference of [tagged('v1'), tagged('v2'), byDigest(digestOf(bytes))])
      await assertFolderExists(name, reference, bytes);
  });
});

describe('a small blob', () => {
  it('its link appears after its bytes, and after no others are waited for', async () => {
    const name = fresh();
    const bytes = randomBytes(100);
    const calls: unknown[] = [];
    const watched: ObjectStore = intercepted(store, (method, [objects]) => {
      if (method === 'put' || method === 'putInOrder')
        calls.push(
          typeof objects === 'string' ? objects : (objects as { key: string }[]).map(({ key }) => key),
        );
    });
    const { uploads } = registry(watched);
    await uploads.put(name, digestOf(bytes), chunk(bytes));
    assert.deepEqual(calls, [[blobData(digestOf(bytes)), layerLink(name, digestOf(bytes))]]);
  });
});

describe('an upload session that a power cut has damaged', () => {
  const sent = randomBytes(9000);
  const damages: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
    'no bytes': () => Buffer.alloc(0),
    'zeros alone': (bytes) => Buffer.alloc(bytes.length),
    'half of its description': (bytes) => bytes.subarray(0, bytes.indexOf('\n') / 2),
    'its description alone': (bytes) => bytes.subarray(0, bytes.indexOf('\n') + 1),
    'a byte less': (bytes) => bytes.subarray(0, -1),
    'zeros at the end': (bytes) => Buffer.concat([bytes.subarray(0, -1000), Buffer.alloc(1000)]),
    'zeros at the start': (bytes) => Buffer.concat([Buffer.alloc(40), bytes.subarray(40)]),
  };

  for (const [what, damage] of Object.entries(damages))
    it(`is unknown, never becomes a blob, and is purged: ${what}`, async () => {
      const name = fresh();
      const before = registry().uploads;
      const id = await before.start(name);
      assert.equal(await before.append(name, id, chunk(sent)), sent.byteLength);
      const file = at(uploadSession(id));
      await fs.writeFile(file, damage(await fs.readFile(file)));
      const { uploads, blobs } = registry();
      await assert.rejects(uploads.status(name, id), unknownUpload);
      await assert.rejects(uploads.append(name, id, chunk(sent, sent.byteLength)), unknownUpload);
      await assert.rejects(uploads.finish(name, id, digestOf(sent), undefined), unknownUpload);
      await assert.rejects(uploads.cancel(name, id), unknownUpload);
      await assert.rejects(blobs.stat(name, digestOf(sent)), { failure: 'BLOB_UNKNOWN' });
      const olderThan = new Date(Date.now() + 60_000);
      const purged = await Array.fromAsync(purgeUploads(store, { olderThan }));
      assert.deepEqual(
        purged.map((one) => one.kind === 'upload' && one.id),
        [id],
      );
      await assert.rejects(fs.stat(file), { code: 'ENOENT' });
    });
});
