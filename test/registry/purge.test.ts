import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { digestFrom } from '../../lib/protocol/digests.ts';
import {
  copyClaim,
  blobData,
  deletionRecord,
  pullRecord,
  pullsSince,
  isBlobData,
  layerLink,
  parseUploadKey,
  uploadData,
  uploadSession,
} from '../../lib/registry/layout.ts';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { digestOf } from '../../lib/registry/uploads/content-hash.ts';
import { purgeUploads, PurgeTotals } from '../../lib/registry/uploads/purge.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { temporaryFolder } from '../servers/folder.ts';
import {
  day,
  olderThan,
  daysAgo,
  repository,
  someBlob,
  begin,
  put,
  multipart,
  run,
  contents,
  collect,
  nothing,
  kinds,
  store,
} from './purge-fixture.ts';

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

  it('a purge needs few requests: a page for a thousand keys, two for records, a deletion for hundreds', async () => {
    store.pageSize = 1000;
    for (let i = 0; i < 900; i++) await begin(i % 3 === 0 ? 8 : 1);
    assert.equal((await run()).length, 300);
    assert.deepEqual(store.asked, { list: 4, open: 300, abort: 300, delete: 1, listMultiparts: 2 });
    assert.deepEqual(await run(), []);
  });

  it('a purge removes records of deletes after 30 days, and no younger ones', async () => {
    const [old, young] = [30.1, 29.9].map((days) => deletionRecord(repository, daysAgo(days), 'abcd'));
    for (const [key = '', days] of [
      [old, 30.1],
      [young, 29.9],
    ] as const)
      await put(days, key);
    assert.deepEqual(await run(), [{ kind: 'record', key: old, lastWritten: daysAgo(30.1) }]);
    assert.deepEqual((await contents()).objects, [young]);
  });

  it('a purge keeps an old record of a delete while the manifest that it could bring back is there', async () => {
    const digest = digestOf(Buffer.from('a manifest'));
    const record = await put(30.1, deletionRecord(repository, daysAgo(30.1), 'abcd', digest));
    const bytes = await put(30.1, blobData(digest));
    assert.deepEqual(await run(), []);
    await store.delete([bytes]);
    assert.deepEqual(await run(), [{ kind: 'record', key: record, lastWritten: daysAgo(30.1) }]);
  });

  it('a purge asks for the manifest of an old record on one day in 30', async () => {
    for (const days of [30.1, 31.1, 45.1, 59.1, 60.1]) {
      const digest = digestOf(Buffer.from(`the manifest of day ${days}`));
      await put(days, deletionRecord(repository, daysAgo(days), 'abcd', digest));
    }
    assert.deepEqual(
      (await run()).map((purged) => purged.kind === 'record' && purged.lastWritten),
      [daysAgo(30.1), daysAgo(60.1)],
    );
    assert.equal(store.asked['head'], 2);
  });

  it('a purge removes records of pulls after 53 weeks, and keeps from when on they are recorded', async () => {
    const tag = (text: string) => pullRecord(repository, parseReference(text));
    const [old, young, since] = [tag('old'), tag(`sha256:${'a'.repeat(64)}`), pullsSince('x')];
    for (const [key, days] of [
      [old, 371.1],
      [young, 370.9],
      [since, 500],
    ] as const)
      await put(days, key);
    assert.deepEqual(await run(), [{ kind: 'pull', key: old, lastWritten: daysAgo(371.1) }]);
    assert.deepEqual((await contents()).objects.sort(), [since, young].sort());
  });

  it('a purge removes claims of copies from upstreams that nobody has gone on with', async () => {
    const [old, young] = ['a', 'b'].map((digit) =>
      copyClaim('0123', parseDigest(`sha256:${digit.repeat(64)}`)),
    );
    assert.ok(old !== undefined && young !== undefined);
    await put(7.1, old);
    await put(6.9, young);
    assert.deepEqual(await run(), [{ kind: 'claim', key: old, lastWritten: daysAgo(7.1) }]);
    assert.deepEqual((await contents()).objects, [young]);
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

describe('the totals of a purge', () => {
  it('the totals of a purge count data of an upload with it, and failures apart', async () => {
    const { id } = await begin(8);
    await put(8, uploadData(id, '0badcafe'));
    await put(8, uploadData(randomUUID(), '0badcafe'));
    await multipart(8, someBlob());
    await put(30.5, deletionRecord(repository, daysAgo(30.5), 'abcd'));
    const totals = new PurgeTotals();
    for (const swept of await run()) totals.add(swept);
    totals.add({ kind: 'failure', key: 'x', error: undefined });
    assert.deepEqual(Object.fromEntries(Object.entries(totals)), {
      uploads: 1,
      received: 1234,
      data: 1,
      multiparts: 1,
      records: 1,
      pulls: 0,
      claims: 0,
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
    // A live session keeps its multipart upload of any age.
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
