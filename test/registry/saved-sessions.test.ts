import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { beforeEach, describe, it } from 'node:test';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import type { Chunk, Registry } from '../../lib/registry/interface.ts';
import { uploadSession } from '../../lib/registry/layout.ts';
import { digestOf } from '../../lib/registry/uploads/content-hash.ts';
import { Sessions } from '../../lib/registry/uploads/sessions.ts';
import { intercepted } from './interrupted.ts';
import { MemoryStore } from './memory-store.ts';

const name = parseRepositoryName('team/app');
const [one, two] = [randomBytes(300), randomBytes(400)];
const sha256 = (...bytes: Buffer[]) => digestOf(Buffer.concat(bytes), 'sha256');

function chunk(bytes: Buffer, start: number, partial = true): Chunk {
  const body = (async function* () {
    yield await Promise.resolve(bytes);
  })();
  return { body, start, length: bytes.byteLength, partial };
}

/** Two processes on one bucket; only the requests of the first are recorded. */
describe('an upload session that a process has saved', () => {
  let store: MemoryStore;
  let calls: string[];
  let here: Registry['uploads'];
  let there: Registry['uploads'];

  const open = (options: ConstructorParameters<typeof MemoryStore>[0]) => {
    store = new MemoryStore(options);
    here = createRegistry(intercepted(store, (method) => calls.push(method))).uploads;
    there = createRegistry(store).uploads;
    calls = [];
  };

  beforeEach(() => {
    open({ conditionalWrites: true, partsReplace: true, copies: true });
  });

  it('is not read again by its next request', async () => {
    const id = await here.start(name);
    await here.append(name, id, chunk(one, 0));
    await here.append(name, id, chunk(two, 300));
    await here.finish(name, id, sha256(one, two), undefined);
    assert.deepEqual(calls, ['put', 'put', 'put', 'put', 'put', 'delete']);
    await assert.rejects(here.status(name, id), { failure: 'BLOB_UPLOAD_UNKNOWN' });
  });

  it('is read before more is added where saves are not conditional', async () => {
    open({ conditionalWrites: false });
    const id = await here.start(name);
    await here.append(name, id, chunk(one, 0));
    await here.finish(name, id, sha256(one), undefined);
    assert.deepEqual(calls, ['put', 'read', 'put', 'put', 'put', 'delete']);
  });

  it('is read after a failed request', async () => {
    const id = await here.start(name);
    await assert.rejects(here.append(name, id, { ...chunk(one, 0), length: 301 }), {
      failure: 'SIZE_INVALID',
    });
    calls = [];
    await here.append(name, id, chunk(one, 0));
    assert.deepEqual(calls, ['read', 'put']);
    await assert.rejects(here.finish(name, id, sha256(two), undefined), { failure: 'DIGEST_INVALID' });
    await here.finish(name, id, sha256(one), undefined);
  });

  it('is read if it is too large to be kept', async () => {
    const id = await here.start(name);
    const large = randomBytes(100_000);
    await new Sessions(store).save({
      ...((await new Sessions(store).load(name, id)) ?? assert.fail()),
      offset: large.length,
      tail: large,
    });
    const sessions = new Sessions(store);
    const session = (await sessions.load(name, id)) ?? assert.fail();
    await sessions.save(session);
    assert.equal(await sessions.takeSaved(name, id, () => true), undefined);
  });

  it('is of its own repository only', async () => {
    const id = await here.start(name);
    const other = parseRepositoryName('team/other');
    await assert.rejects(here.append(other, id, chunk(one, 0)), { failure: 'BLOB_UPLOAD_UNKNOWN' });
    await assert.rejects(here.finish(other, id, sha256(), undefined), { failure: 'BLOB_UPLOAD_UNKNOWN' });
  });

  it('goes on in another process, and comes back', async () => {
    const id = await here.start(name);
    await here.append(name, id, chunk(one, 0));
    await there.append(name, id, chunk(two, 300));
    assert.equal(await here.status(name, id), 700);
    await here.append(name, id, chunk(one, 700));
    await there.finish(name, id, sha256(one, two, one), undefined);
    const blob = await here.finish(name, id, sha256(one, two, one), undefined);
    assert.deepEqual(blob, { digest: sha256(one, two, one), size: 1000 });
  });

  it('does not finish a blob without what another process has added', async () => {
    const id = await here.start(name);
    await here.append(name, id, chunk(one, 0));
    await there.append(name, id, chunk(two, 300));
    await here.finish(name, id, sha256(one, two), undefined);
  });

  it('does not overwrite what another process has added', async () => {
    const id = await here.start(name);
    await there.append(name, id, chunk(one, 0));
    await assert.rejects(here.append(name, id, chunk(two, 0)), { failure: 'RANGE_INVALID', offset: 300 });
    await there.finish(name, id, sha256(one), undefined);
  });

  it('is gone for further bytes when another process has cancelled it', async () => {
    const id = await here.start(name);
    await here.append(name, id, chunk(one, 0));
    await there.cancel(name, id);
    await assert.rejects(here.append(name, id, chunk(two, 300)), { failure: 'BLOB_UPLOAD_UNKNOWN' });
    assert.equal(store.objects.has(uploadSession(id)), false);
  });

  it('is gone when this process has cancelled it', async () => {
    const id = await here.start(name);
    await here.append(name, id, chunk(one, 0));
    await here.cancel(name, id);
    await assert.rejects(here.finish(name, id, sha256(one), undefined), { failure: 'BLOB_UPLOAD_UNKNOWN' });
  });
});
