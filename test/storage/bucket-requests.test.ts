import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { openStore } from '../../lib/compose.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { outcomeOf } from '../../lib/storage/bucket-requests.ts';
import { ObjectNotFound, type ObjectStore } from '../../lib/storage/store.ts';
import type { Fate } from '../servers/bucket-proxy.ts';
import { requires } from '../servers/requires.ts';
import { startScs } from '../servers/scs.ts';
import { folderStorage, scsStorage } from '../servers/storage.ts';
import { proxiedSwift } from '../servers/proxied-swift.ts';

/** A store of these settings, and what is observed of it: `PutObject success`. */
async function observed(
  settings: Readonly<Record<string, string>>,
): Promise<{ store: ObjectStore; seen: string[] }> {
  const seen: string[] = [];
  const { storage } = loadConfig('maintenance', settings);
  const store = await openStore(storage, {
    check: false,
    observe: (operation) => (end) => seen.push(`${operation} ${outcomeOf(end)}`),
  });
  return { store, seen };
}

/** Asks a store for a little of everything. */
async function useStore(store: ObjectStore): Promise<void> {
  await store.put('a/b', Buffer.from('text'));
  await store.head('a/b');
  await store.read('a/b', 100);
  (await store.open('a/b')).body.resume();
  await assert.rejects(store.head('a/none'), ObjectNotFound);
  await store.list({ prefix: 'a/' });
  const id = await store.createMultipart('a/c');
  const part = await store.uploadPart('a/c', id, 1, randomBytes(10));
  const { size, etag } = await store.completeMultipart('a/c', id, [part]);
  await store.abortMultipart('a/d', await store.createMultipart('a/d'));
  await store.move('a/c', 'a/e', { size, etag });
  await store.delete(['a/b', 'a/c', 'a/e']);
}

const operationsOf = (requests: readonly { readonly operation: string }[]) =>
  requests.map(({ operation }) => operation).toSorted();

const namesOf = (seen: readonly string[]) => seen.map((one) => one.split(' ')[0]).toSorted();

/** Fails the first request, so that it is sent again. */
const failFirst = (fate: Fate) => (_request: unknown, index: number) => (index === 0 ? fate : 'pass');

describe('observed requests to a bucket of S3', requires('swift-proxy-server'), async () => {
  const { proxy, settings, stop } = await proxiedSwift();

  after(stop);

  it('are those that reach the bucket, each once', async () => {
    const { store, seen } = await observed(settings);
    proxy.reset();
    await useStore(store);
    await proxy.settled();
    assert.deepEqual(namesOf(seen), operationsOf(proxy.requests));
    assert.ok(seen.includes('PutObject success'));
    assert.ok(seen.includes('HeadObject not_found'));
  });

  it('include retries, with what became of each', async () => {
    const { store, seen } = await observed(settings);
    const expected = [
      ['drop-request', 'connection_error'],
      [{ status: 503, code: 'SlowDown' }, 'throttled'],
      [{ status: 500, code: 'InternalError' }, 'server_error'],
    ] as const;
    for (const [fate, outcome] of expected) {
      proxy.reset();
      seen.length = 0;
      proxy.intercept = failFirst(fate);
      await store.put('retried', Buffer.from('text'));
      assert.deepEqual(seen, [`PutObject ${outcome}`, 'PutObject success']);
    }
  });
});

describe('observed requests to a bucket of SCS', async () => {
  const server = await startScs();
  const { settings } = await scsStorage(server);

  after(async () => {
    await server.stop();
  });

  it('are those that reach the bucket, each once', async () => {
    const { store, seen } = await observed(settings);
    server.reset();
    await useStore(store);
    assert.deepEqual(namesOf(seen), operationsOf(server.requests));
    assert.ok(seen.includes('PutObject success'));
    assert.ok(seen.includes('HeadObject not_found'));
  });

  it('include retries, with what became of each', async () => {
    const { store, seen } = await observed(settings);
    server.reset();
    server.intercept = failFirst({ status: 500, code: 'InternalError' });
    await store.put('retried', Buffer.from('text'));
    assert.deepEqual(seen, ['PutObject server_error', 'PutObject success']);
  });
});

describe('observed calls of a folder', async () => {
  const storage = await folderStorage();

  after(() => {
    storage.remove();
  });

  it('count as requests to a bucket', async () => {
    const { store, seen } = await observed(storage.settings);
    await useStore(store);
    const expected = [
      ...['PutObject success', 'HeadObject success', 'GetObject success', 'GetObject success'],
      ...['HeadObject not_found', 'ListObjectsV2 success'],
      ...['CreateMultipartUpload success', 'UploadPart success', 'CompleteMultipartUpload success'],
      ...['CreateMultipartUpload success', 'AbortMultipartUpload success'],
      ...['RenameObject success', 'DeleteObjects success'],
    ];
    assert.deepEqual(seen, expected);
  });
});

describe('the outcome of a request to a bucket', () => {
  it('is told by its status, or by its error if there is none', () => {
    const statuses = { 200: 'success', 304: 'success', 404: 'not_found', 412: 'precondition_failed' };
    for (const [status, outcome] of Object.entries(statuses))
      assert.equal(outcomeOf({ status: Number(status) }), outcome);
    assert.equal(outcomeOf({ status: 403 }), 'client_error');
    assert.equal(outcomeOf({ error: Object.assign(new Error(), { name: 'TimeoutError' }) }), 'timeout');
    assert.equal(outcomeOf({ error: Object.assign(new Error(), { name: 'AbortError' }) }), 'aborted');
    const late = Object.assign(new Error('aborted'), { name: 'AbortError', cause: { code: 'ETIMEDOUT' } });
    assert.equal(outcomeOf({ error: late }), 'timeout');
    assert.equal(
      outcomeOf({ error: Object.assign(new Error(), { code: 'ECONNRESET' }) }),
      'connection_error',
    );
  });
});
