import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PartMemory } from '../../lib/registry/part-memory.ts';
import { PartWriter } from '../../lib/registry/part-writer.ts';
import type { ObjectStore, StoreLimits, UploadedPart } from '../../lib/storage/store.ts';
import { MemoryStore } from './memory-store.ts';

/** A store with the limits of a test, where storing a part takes a while. It notes how many are on their way. */
class SlowStore extends MemoryStore {
  override readonly limits: StoreLimits;
  readonly sizes: number[] = [];
  #underWay = 0;
  mostUnderWay = 0;

  constructor(limits: Partial<StoreLimits>) {
    super();
    this.limits = { ...new MemoryStore().limits, ...limits };
  }

  override async uploadPart(
    key: string,
    uploadId: string,
    number: number,
    bytes: Uint8Array,
  ): Promise<UploadedPart> {
    this.#underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.#underWay);
    await sleep(5);
    this.#underWay -= 1;
    this.sizes[number - 1] = bytes.byteLength;
    return await super.uploadPart(key, uploadId, number, bytes);
  }
}

const writerTo = (store: ObjectStore, memory = 1e9, length?: number) =>
  new PartWriter(store, 'key', { memory: new PartMemory(memory), length });

async function writeAll(writer: PartWriter, bytes: Buffer, piece = 700): Promise<void> {
  for (let at = 0; at < bytes.length; at += piece) await writer.write(bytes.subarray(at, at + piece));
}

/** Parts of 10 bytes and 100 of them: what takes gigabytes elsewhere. */
const tiny = { minPartSize: 5, partSize: 10, maxPartSize: 1e6, maxParts: 100, parallelParts: 3 };

describe('the parts of an upload', () => {
  it('double in size after each tenth of how many there may be, so that a hundred times as much fits', async () => {
    const store = new SlowStore(tiny);
    const bytes = randomBytes(100 * 1000);
    const writer = writerTo(store);
    await writeAll(writer, bytes);
    await writer.complete();
    assert.deepEqual(store.sizes.slice(0, 21), [
      ...Array<number>(10).fill(10),
      ...Array<number>(10).fill(20),
      40,
    ]);
    assert.ok(store.sizes.length <= tiny.maxParts);
    assert.ok((await store.read('key', 1e6)).bytes.equals(bytes));
  });

  it('are not more than the store takes: what does not fit is refused with its cause', async () => {
    const store = new SlowStore({ ...tiny, maxPartSize: 10 });
    await assert.rejects(
      async () => {
        const writer = writerTo(store);
        await writeAll(writer, randomBytes(1001));
        await writer.complete();
      },
      { failure: 'SIZE_INVALID', message: /no blob of more than 100 parts/ },
    );
  });

  it('have one size where the store wants that, which suffices for a length that is known', async () => {
    const store = new SlowStore({ ...tiny, equalParts: true });
    const bytes = randomBytes(4321);
    const writer = writerTo(store, 1e9, bytes.length);
    await writeAll(writer, bytes);
    await writer.complete();
    assert.deepEqual(new Set(store.sizes.slice(0, -1)), new Set([44]));
    assert.ok((await store.read('key', 1e6)).bytes.equals(bytes));
  });

  it('keep that size when another process goes on, whatever it would choose itself', async () => {
    const store = new SlowStore({ ...tiny, equalParts: true });
    const bytes = randomBytes(95);
    const first = writerTo(store, 1e9, 1500);
    await first.write(bytes.subarray(0, 50));
    await first.settle();
    const resume = { multipart: first.multipart, tail: Buffer.from(first.tail) };
    const second = new PartWriter(store, 'key', { memory: new PartMemory(0), resume });
    await second.write(bytes.subarray(50));
    await second.complete();
    assert.deepEqual(store.sizes, [15, 15, 15, 15, 15, 15, 5]);
    assert.ok((await store.read('key', 100)).bytes.equals(bytes));
  });

  it('are on their way as many at a time as the store likes', async () => {
    for (const parallelParts of [1, 3]) {
      const store = new SlowStore({ ...tiny, parallelParts });
      const writer = writerTo(store);
      await writeAll(writer, randomBytes(500));
      await writer.complete();
      assert.equal(store.mostUnderWay, parallelParts);
    }
  });

  it('are one at a time where others have the memory, which is given back in the end', async () => {
    const store = new SlowStore({ ...tiny, parallelParts: 8 });
    const memory = new PartMemory(50);
    assert.ok(memory.take(45));
    const writer = new PartWriter(store, 'key', { memory });
    await writeAll(writer, randomBytes(200));
    await writer.complete();
    const alone = store.mostUnderWay;
    memory.give(45);
    const other = new PartWriter(store, 'other', { memory });
    await writeAll(other, randomBytes(90));
    await other.complete();
    assert.deepEqual([alone, store.mostUnderWay > 1], [1, true]);
    assert.ok(memory.take(50), 'memory was not given back');
  });

  it('give their memory back when one of them fails, whose error is told', async () => {
    const store = new SlowStore({ ...tiny, parallelParts: 3 });
    const memory = new PartMemory(100);
    const failing = new Proxy<ObjectStore>(store, {
      get: (target, property) => {
        const value: unknown = Reflect.get(target, property);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]): Promise<unknown> => {
          if (property === 'uploadPart' && args[2] === 4) throw new Error('the fourth part failed');
          return await (Reflect.apply(value, target, args) as Promise<unknown>);
        };
      },
    });
    const writer = new PartWriter(failing, 'key', { memory });
    await assert.rejects(
      async () => {
        await writeAll(writer, randomBytes(200));
        await writer.settle();
      },
      { message: 'the fourth part failed' },
    );
    await writer.discard();
    assert.ok(memory.take(100), 'memory was not given back');
    for await (const { key } of store.listMultiparts('')) assert.fail(`${key} was left`);
  });

  it('small chunks make, are not used up by them', async () => {
    const store = new SlowStore(tiny);
    let resume: { multipart: PartWriter['multipart']; tail: Buffer } = {
      multipart: undefined,
      tail: Buffer.alloc(0),
    };
    const bytes = randomBytes(6 * 400);
    for (let at = 0; at < bytes.length; at += 6) {
      const writer = new PartWriter(store, 'key', { memory: new PartMemory(0), resume });
      await writer.write(bytes.subarray(at, at + 6));
      await writer.settle();
      resume = { multipart: writer.multipart, tail: Buffer.from(writer.tail) };
    }
    await new PartWriter(store, 'key', { memory: new PartMemory(0), resume }).complete();
    assert.ok(store.sizes.length < tiny.maxParts);
    assert.ok((await store.read('key', 1e6)).bytes.equals(bytes));
  });
});
