import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { digestFrom } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { streamHash } from '../../lib/registry/uploads/content-hash.ts';
import {
  blobData,
  isBlobData,
  layerLink,
  parseUploadKey,
  uploadData,
  uploadSession,
} from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { Sessions } from '../../lib/registry/uploads/sessions.ts';
import { purgeUploads, PurgeTotals, type PurgeResult } from '../../lib/registry/uploads/purge.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import {
  StoreUnavailable,
  type Listing,
  type ListOptions,
  type MultipartUpload,
  type ObjectStore,
  type UploadedPart,
} from '../../lib/storage/store.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { MemoryStore } from './memory-store.ts';

const day = 24 * 60 * 60 * 1000;
const today = new Date('2026-06-15T12:00:00Z');
const olderThan = new Date(today.getTime() - 7 * day);
const daysAgo = (days: number): Date => new Date(today.getTime() - days * day);
const repository = parseRepositoryName('team/app');
const someBlob = () => blobData(digestFrom('sha256', randomBytes(32).toString('hex')));

/** A bucket whose days can be chosen, with small pages, which counts the requests and can be made to fail. */
class Bucket extends MemoryStore {
  readonly clock: { now: Date };
  readonly asked: Record<string, number> = {};
  /** Throws for what is to fail. */
  fail: (operation: string, key: string) => void = () => undefined;
  pageSize = 3;

  constructor() {
    const clock = { now: today };
    super({ now: () => clock.now });
    this.clock = clock;
  }

  /** Does something as if it were some days ago. */
  async ago<T>(days: number, work: () => Promise<T>): Promise<T> {
    this.clock.now = daysAgo(days);
    const result = await work();
    this.clock.now = today;
    return result;
  }

  override async list(options: ListOptions): Promise<Listing> {
    this.#ask('list', options.prefix ?? '');
    const { objects } = await super.list(options);
    const left = objects.filter(({ key }) => key > (options.startAfter ?? ''));
    const page = left.slice(0, this.pageSize);
    return { objects: page, prefixes: [], next: left.length > page.length ? page.at(-1)?.key : undefined };
  }

  override async delete(keys: readonly string[]): Promise<void> {
    for (const key of keys) this.#ask('delete', key, 0);
    this.asked['delete'] = (this.asked['delete'] ?? 0) + 1;
    await super.delete(keys);
  }

  override async open(...args: Parameters<MemoryStore['open']>): ReturnType<MemoryStore['open']> {
    this.#ask('open', args[0]);
    return await super.open(...args);
  }

  override async abortMultipart(key: string, uploadId: string): Promise<void> {
    this.#ask('abort', key);
    await super.abortMultipart(key, uploadId);
  }

  override async *listMultiparts(prefix: string): AsyncIterable<MultipartUpload> {
    this.#ask('listMultiparts', prefix);
    yield* super.listMultiparts(prefix);
  }

  #ask(operation: string, key: string, count = 1): void {
    this.fail(operation, key);
    this.asked[operation] = (this.asked[operation] ?? 0) + count;
  }
}

let store: Bucket;

beforeEach(() => {
  store = new Bucket();
});

interface Begun {
  readonly id: string;
  readonly session: string;
  readonly multipart: string;
}

/** An upload whose session was written some days ago, and whose multipart upload was begun then or before. */
async function begin(days: number, started = days, parts: readonly UploadedPart[] = []): Promise<Begun> {
  const id = randomUUID();
  const key = uploadData(id, 'abcd1234');
  const uploadId = await store.ago(started, async () => await store.createMultipart(key));
  await store.ago(days, async () => {
    await new Sessions(store).save({
      id,
      repository,
      startedAt: daysAgo(started),
      offset: 1234,
      hash: streamHash().state(),
      multipart: { key, uploadId, parts },
      tail: Buffer.from('tail\n'),
      etag: undefined,
    });
  });
  return { id, session: uploadSession(id), multipart: key };
}

async function put(days: number, key: string, content = 'content'): Promise<string> {
  await store.ago(days, async () => await store.put(key, Buffer.from(content)));
  return key;
}

async function multipart(days: number, key: string): Promise<string> {
  await store.ago(days, async () => await store.createMultipart(key));
  return key;
}

const run = async (on: ObjectStore = store, dryRun = false): Promise<PurgeResult[]> =>
  await collect(purgeUploads(on, { olderThan, dryRun }));

/** All there is: keys, and those of multipart uploads. */
async function contents(): Promise<{ objects: string[]; multiparts: string[] }> {
  const multiparts = await collect(MemoryStore.prototype.listMultiparts.call(store, ''));
  return { objects: [...store.objects.keys()].sort(), multiparts: multiparts.map(({ key }) => key).sort() };
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const nothing = { objects: [], multiparts: [] };
const kinds = (swept: readonly PurgeResult[]): string[] => swept.map(({ kind }) => kind).sort();

describe('a purge of uploads', () => {
  it('a purge removes and reports an old session with its multipart upload and data', async () => {
    const { id, multipart } = await begin(8, 9);
    const data = await put(8, uploadData(id, '0badcafe'), 'bytes');
    assert.deepEqual(await run(), [
      { kind: 'upload', id, repository, received: 1234, lastWritten: daysAgo(8), multipart },
      { kind: 'data', key: data, size: 5, lastWritten: daysAgo(8), ofUpload: true },
    ]);
    assert.deepEqual(await contents(), nothing);
  });

  it('a purge keeps a session younger than 7 days with its multipart upload and data of any age', async () => {
    const { id } = await begin(6.9, 20);
    await put(20, uploadData(id, '0badcafe'));
    const before = await contents();
    assert.deepEqual(await run(), []);
    assert.deepEqual(await contents(), before);
  });

  it('a purge removes old multipart uploads without a session, also at the key of a blob', async () => {
    const old = [await multipart(8, uploadData(randomUUID(), 'abcd1234')), await multipart(8, someBlob())];
    const young = [await multipart(6, uploadData(randomUUID(), 'abcd1234')), await multipart(6, someBlob())];
    assert.deepEqual(
      await run(),
      old.map((key) => ({ kind: 'multipart', key, started: daysAgo(8) })),
    );
    assert.deepEqual(await contents(), { objects: [], multiparts: young.sort() });
  });

  it('removes an old multipart upload of a living session that records another', async () => {
    const { id, session, multipart: recorded } = await begin(1, 8);
    const left = await multipart(8, uploadData(id, 'ffff0000'));
    assert.deepEqual(await run(), [{ kind: 'multipart', key: left, started: daysAgo(8) }]);
    assert.deepEqual(await contents(), { objects: [session], multiparts: [recorded] });
  });

  it('a purge uses the clock of the store if the local one is wrong', async () => {
    const kept = [await begin(1), await begin(6)];
    const gone = await begin(8);
    // Ten days ahead here, all of it looks old.
    const ahead = Object.assign(store, { clockOffsetMs: -10 * day });
    const swept = await collect(purgeUploads(ahead, { olderThan: new Date(olderThan.getTime() + 10 * day) }));
    assert.deepEqual(
      swept.map((one) => one.kind === 'upload' && one.id),
      [gone.id],
    );
    assert.deepEqual((await contents()).multiparts, kept.map(({ multipart }) => multipart).sort());
  });

  it('a purge reports why the store may not have listed all multipart uploads', async () => {
    const blind = Object.assign(store, { unlistedMultiparts: 'it is blind' });
    const { id } = await begin(8);
    assert.deepEqual(
      (await collect(purgeUploads(blind, { olderThan }))).map((one) => ('id' in one ? one.id : one)),
      [id, { kind: 'unlisted', reason: 'it is blind' }],
    );
  });

  it('a purge judges data without a session by its own age', async () => {
    const old = await put(8, uploadData(randomUUID(), 'abcd1234'));
    const young = await put(6, uploadData(randomUUID(), 'abcd1234'));
    const { id } = await begin(8);
    const late = await put(6, uploadData(id, '0badcafe'));
    const swept = await run();
    assert.deepEqual(kinds(swept), ['data', 'upload']);
    assert.deepEqual(
      swept.find(({ kind }) => kind === 'data'),
      { kind: 'data', key: old, size: 7, lastWritten: daysAgo(8), ofUpload: false },
    );
    assert.deepEqual(await contents(), { objects: [young, late].sort(), multiparts: [] });
  });

  it("a purge keeps blobs, links, distribution's uploads and foreign keys", async () => {
    const id = randomUUID();
    const uploads = 'docker/registry/v2/uploads';
    const others = [
      `docker/registry/v2/repositories/a/_uploads/${id}/data`,
      `docker/registry/v2/repositories/a/_uploads/${id}/startedat`,
      `${uploads}/${id}/other`,
      `${uploads}/${id}/data`,
      `${uploads}/${id}/data-a-b`,
      `${uploads}/${id}/session/more`,
      `${uploads}/${id.toUpperCase()}x/session`,
      `${uploads}/session`,
      `${uploads}/no-uuid/session`,
      `${uploads}x/${id}/session`,
      'docker/registry/v2/blobs/sha256/ab/abc/data',
      `docker/registry/v2/blobs/sha256/ab/${'0'.repeat(64)}/data`,
      `docker/registry/v2/blobs/sha256/00/${'0'.repeat(64)}/other`,
      'docker/registry/v2/blobs/data',
    ];
    for (const key of others) {
      await put(100, key);
      await multipart(100, key);
    }
    await multipart(100, uploadSession(id));
    await put(100, someBlob());
    await put(100, layerLink(repository, digestFrom('sha256', '0'.repeat(64))));
    const before = await contents();
    assert.deepEqual(await run(), []);
    assert.deepEqual(await contents(), before);
  });

  for (const [what, content] of Object.entries({
    nothing: '',
    'no JSON': 'no JSON\nand a tail',
    'no line': JSON.stringify({ version: 1, repository, offset: 1 }),
    'no object': 'null\n',
    'nothing known': '{}\n',
    'a wrong name': `${JSON.stringify({ version: 1, repository: '../x', offset: 1 })}\n`,
    'a wrong multipart upload': `${JSON.stringify({ version: 1, repository, offset: 1, multipart: null })}\n`,
  }))
    it(`removes a damaged session by its age: ${what}`, async () => {
      const [old, young] = [randomUUID(), randomUUID()];
      for (const [id, days] of [
        [old, 8],
        [young, 6],
      ] as const) {
        await put(days, uploadSession(id), content);
        await multipart(9, uploadData(id, 'abcd1234'));
      }
      assert.deepEqual(await run(), [
        {
          kind: 'upload',
          id: old,
          repository: undefined,
          received: undefined,
          lastWritten: daysAgo(8),
          multipart: undefined,
        },
        { kind: 'multipart', key: uploadData(old, 'abcd1234'), started: daysAgo(9) },
      ]);
      assert.deepEqual(await contents(), {
        objects: [uploadSession(young)],
        multiparts: [uploadData(young, 'abcd1234')],
      });
    });

  it('a purge deletes nothing else that a session names', async () => {
    for (const key of [
      'docker/registry/v2/repositories/a/_uploads/x/data',
      someBlob(),
      uploadData(randomUUID(), 'abcd1234'),
    ]) {
      const id = randomUUID();
      const uploadId = await store.createMultipart(key);
      const session = { version: 1, repository, offset: 1, multipart: { key, uploadId, parts: [] } };
      await put(8, uploadSession(id), `${JSON.stringify(session)}\n`);
    }
    assert.deepEqual(kinds(await run()), ['upload', 'upload', 'upload']);
    assert.equal((await contents()).multiparts.length, 3);
  });

  it('a purge reads a session of 10,000 parts in few requests', async () => {
    const parts = Array.from({ length: 10_000 }, (_, i) => ({
      number: i + 1,
      etag: randomUUID(),
      size: 8388608,
    }));
    const { multipart } = await begin(8, 8, parts);
    const [swept] = await run();
    assert.equal(swept?.kind === 'upload' && swept.multipart, multipart);
    assert.equal(store.asked['open'], 2);
    assert.deepEqual(await contents(), nothing);
  });

  it('a dry run reports the same as a purge and removes nothing', async () => {
    const { id } = await begin(8, 9);
    await put(8, uploadData(id, '0badcafe'));
    const damaged = randomUUID();
    await put(8, uploadSession(damaged), 'damaged');
    await multipart(8, uploadData(damaged, 'abcd1234'));
    await multipart(8, uploadData(randomUUID(), 'abcd1234'));
    await multipart(8, someBlob());
    await begin(1, 9);
    const before = await contents();
    const told = await run(store, true);
    assert.deepEqual(await contents(), before);
    assert.equal(store.asked['delete'], undefined);
    assert.equal(store.asked['abort'], undefined);
    assert.deepEqual(await run(), told);
    assert.deepEqual(kinds(told), ['data', 'multipart', 'multipart', 'multipart', 'upload', 'upload']);
  });

  it('a purge removes while it lists, with bounded memory', async () => {
    store.pageSize = 100;
    for (let i = 0; i < 1000; i++) await begin(8);
    for await (const { kind } of purgeUploads(store, { olderThan })) {
      assert.equal(kind, 'upload');
      break;
    }
    assert.ok((store.asked['list'] ?? 0) < 6);
    assert.ok(store.objects.size < 1000);
  });

  it('a purge needs few requests: a page for a thousand keys, a deletion for hundreds', async () => {
    store.pageSize = 1000;
    for (let i = 0; i < 900; i++) await begin(i % 3 === 0 ? 8 : 1);
    assert.equal((await run()).length, 300);
    assert.deepEqual(store.asked, { list: 1, open: 300, abort: 300, delete: 1, listMultiparts: 2 });
    assert.deepEqual(await run(), []);
  });

  it('a purge treats an upload as a whole if its objects are on two pages', async () => {
    store.pageSize = 1;
    const { id } = await begin(1);
    await put(20, uploadData(id, '0badcafe'));
    await begin(8);
    const gone = await begin(8);
    await put(8, uploadData(gone.id, '0badcafe'));
    assert.deepEqual(kinds(await run()), ['data', 'upload', 'upload']);
    assert.equal((await contents()).objects.length, 2);
  });
});

describe('a purge while uploads go on', () => {
  it('a purge keeps a session written after the listing, and the data of a new one', async () => {
    const written = await begin(1, 9);
    const missing = await begin(1, 9);
    await put(9, uploadData(missing.id, '0badcafe'));
    const before = await contents();
    const lagging = Object.assign(Object.create(store) as Bucket, {
      list: async (options: ListOptions): Promise<Listing> => {
        const page = await store.list(options);
        const objects = page.objects
          .filter(({ key }) => key !== missing.session)
          .map((one) => (one.key === written.session ? { ...one, lastModified: daysAgo(8) } : one));
        return { ...page, objects };
      },
      listMultiparts: (prefix: string) => store.listMultiparts(prefix),
      open: async (key: string) => await store.open(key),
      delete: async (keys: readonly string[]) => {
        await store.delete(keys);
      },
      abortMultipart: async (key: string, id: string) => {
        await store.abortMultipart(key, id);
      },
    });
    assert.deepEqual(await run(lagging), []);
    assert.deepEqual(await contents(), before);
  });

  it('a purge aborts recorded multipart uploads on a server that lists none', async () => {
    await begin(8);
    const silent = store;
    silent.listMultiparts = async function* () {
      // Says that there are none.
    };
    assert.deepEqual(kinds(await run(silent)), ['upload']);
    assert.deepEqual(await contents(), nothing);
  });

  it('two concurrent purges give the same result', async () => {
    store.pageSize = 10;
    for (let i = 0; i < 50; i++) {
      const { id } = await begin(8);
      await put(8, uploadData(id, '0badcafe'));
      await multipart(8, someBlob());
    }
    const living = await begin(1, 9);
    const swept = (await Promise.all([run(), run()])).flat();
    assert.ok(!kinds(swept).includes('failure'));
    assert.deepEqual(await contents(), { objects: [living.session], multiparts: [living.multipart] });
  });
});

describe('a purge of a store that fails', () => {
  const outage = (key: string) => new StoreUnavailable(key, 'out of order');

  for (const operation of ['open', 'abort', 'delete'])
    it(`a purge continues after a failure to ${operation}, reports it and removes the rest next time`, async () => {
      const stuck = await begin(8);
      await begin(8);
      await begin(8);
      store.fail = (asked, key) => {
        if (asked === operation && parseUploadKey(key)?.id === stuck.id) throw outage(key);
      };
      const swept = await run();
      const failures = swept.filter(({ kind }) => kind === 'failure');
      // Its multipart upload is found as well when its session cannot be read.
      assert.equal(failures.length, operation === 'open' ? 2 : 1);
      assert.ok(failures.every((one) => one.kind === 'failure' && parseUploadKey(one.key)?.id === stuck.id));
      assert.equal(swept.filter(({ kind }) => kind === 'upload').length, 2);
      assert.deepEqual((await contents()).objects, [stuck.session]);
      store.fail = () => undefined;
      assert.deepEqual(kinds(await run()), ['upload']);
      assert.deepEqual(await contents(), nothing);
    });

  it('a purge continues after a multipart upload that it cannot abort', async () => {
    const [stuck] = [await multipart(8, someBlob()), await multipart(8, someBlob())];
    store.fail = (asked, key) => {
      if (asked === 'abort' && key === stuck) throw outage(key);
    };
    assert.deepEqual(kinds(await run()), ['failure', 'multipart']);
    assert.deepEqual((await contents()).multiparts, [stuck]);
  });

  for (const operation of ['list', 'listMultiparts'])
    it(`ends with the error when ${operation} fails`, async () => {
      await begin(8);
      store.fail = (asked, key) => {
        if (asked === operation) throw outage(key);
      };
      await assert.rejects(run(), StoreUnavailable);
    });
});

describe('the totals of a purge', () => {
  it('the totals of a purge count data of an upload with it, and failures apart', async () => {
    const { id } = await begin(8);
    await put(8, uploadData(id, '0badcafe'));
    await put(8, uploadData(randomUUID(), '0badcafe'));
    await multipart(8, someBlob());
    const totals = new PurgeTotals();
    for (const swept of await run()) totals.add(swept);
    totals.add({ kind: 'failure', key: 'x', error: undefined });
    assert.deepEqual(Object.fromEntries(Object.entries(totals)), {
      uploads: 1,
      received: 1234,
      data: 1,
      multiparts: 1,
      failures: 1,
    });
  });
});

describe('a purge of a folder', () => {
  const MiB = 1024 * 1024;
  const old = daysAgo(8);

  it('removes real uploads by the dates of their files', async () => {
    const folder = await temporaryFolder('purge');
    after(() => {
      folder.remove();
    });
    const store = await FilesystemStore.open(folder.path);
    const { uploads, blobs } = createRegistry(store);
    const bytes = randomBytes(10 * MiB);
    const chunk = { start: 0, length: bytes.length, partial: true };
    const ids: string[] = [];
    for (let i = 0; i < 2; i++) {
      const id = await uploads.start(repository);
      await uploads.append(repository, id, { ...chunk, body: piece(bytes) });
      ids.push(id);
    }
    const [given = '', going = ''] = ids;
    await utimes(join(folder.path, uploadSession(given)), old, old);
    const direct = someBlob();
    await ageMultipart(folder.path, await store.createMultipart(direct));
    await store.createMultipart(someBlob());
    // A living session keeps its multipart upload of whatever age.
    for (const { key, uploadId } of await collect(store.listMultiparts(uploadData(going, ''))))
      if (parseUploadKey(key)?.id === going) await ageMultipart(folder.path, uploadId);

    const swept = await run(store);
    assert.deepEqual(kinds(swept), ['multipart', 'upload']);
    const [upload] = swept;
    assert.ok(upload?.kind === 'upload');
    assert.deepEqual([upload.id, upload.received, upload.lastWritten], [given, bytes.length, old]);
    assert.equal((await readdir(join(folder.path, '.tmp/multipart'))).length, 2);

    const digest = digestFrom('sha256', createHash('sha256').update(bytes).digest('hex'));
    await uploads.finish(repository, going, digest, undefined);
    assert.equal((await blobs.stat(repository, digest)).size, bytes.length);
    assert.deepEqual(await run(store), []);
  });

  async function* piece(bytes: Buffer): AsyncIterable<Uint8Array> {
    yield await Promise.resolve(bytes);
  }

  async function ageMultipart(root: string, uploadId: string): Promise<void> {
    const file = join(root, '.tmp/multipart', uploadId, 'upload');
    const upload = JSON.parse(await readFile(file, 'utf8')) as object;
    await writeFile(file, JSON.stringify({ ...upload, started: old }));
  }
});

describe('the keys of uploads and blobs', () => {
  it('keys of uploads and blobs are parsed as they were made', () => {
    fc.assert(
      fc.property(
        fc.uuid(),
        fc.stringMatching(/^[0-9a-f]{8}$/),
        fc.stringMatching(/^[0-9a-f]{64}$/),
        (id, word, hex) => {
          assert.deepEqual(parseUploadKey(uploadSession(id)), { id, kind: 'session' });
          assert.deepEqual(parseUploadKey(uploadData(id, word)), { id, kind: 'data' });
          assert.ok(isBlobData(blobData(digestFrom('sha256', hex))));
          assert.equal(isBlobData(uploadData(id, word)), false);
          assert.equal(parseUploadKey(blobData(digestFrom('sha256', hex))), undefined);
        },
      ),
    );
  });

  it('foreign keys are not parsed as keys of uploads and blobs', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const key of [text, `docker/registry/v2/uploads/${text}`, `docker/registry/v2/blobs/${text}`]) {
          assert.equal(parseUploadKey(key), undefined);
          assert.equal(isBlobData(key), false);
        }
      }),
    );
  });
});
