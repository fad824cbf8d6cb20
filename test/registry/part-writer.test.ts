import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BufferPool } from '../../lib/registry/uploads/buffer-pool.ts';
import { unclaimedBytes } from '../../lib/registry/uploads/part-sizes.ts';
import { PartWriter } from '../../lib/registry/uploads/part-writer.ts';
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

/** @param pool with room for all */
const optionsWith = (pool = new BufferPool({ bytes: 1e9 })) => {
  let spills = 0;
  return { pool, newKey: () => `spill-${++spills}` };
};

const writerTo = (store: ObjectStore, length?: number) =>
  new PartWriter(store, 'key', { ...optionsWith(), length });

async function writeAll(writer: PartWriter, bytes: Buffer, piece = 700): Promise<void> {
  for (let at = 0; at < bytes.length; at += piece) await writer.write(bytes.subarray(at, at + piece));
}

/** Parts of 10 bytes and 100 of them: what takes gigabytes elsewhere. */
const tiny = { minPartSize: 5, partSize: 10, maxPartSize: 1e6, maxParts: 100, parallelParts: 3 };

/** Parts that memory must be claimed for. */
const large = { ...tiny, minPartSize: 2 * unclaimedBytes, partSize: 4 * unclaimedBytes, maxPartSize: 1e9 };

describe('the parts of an upload', () => {
  it('parts of an upload double in size after each tenth of their maximum count', async () => {
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

  it("an upload above the store's maximum of parts is refused with its cause", async () => {
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

  it('parts have equal sizes if the store requires it, large enough for a known length', async () => {
    const store = new SlowStore({ ...tiny, equalParts: true });
    const bytes = randomBytes(4321);
    const writer = writerTo(store, bytes.length);
    await writeAll(writer, bytes);
    await writer.complete();
    assert.deepEqual(new Set(store.sizes.slice(0, -1)), new Set([44]));
    assert.ok((await store.read('key', 1e6)).bytes.equals(bytes));
  });

  it('equal parts keep their size when another process continues', async () => {
    const store = new SlowStore({ ...tiny, equalParts: true });
    const bytes = randomBytes(95);
    const first = writerTo(store, 1500);
    await first.write(bytes.subarray(0, 50));
    await first.settle();
    const resume = { multipart: first.multipart, tail: Buffer.from(first.tail) };
    const second = new PartWriter(store, 'key', { ...optionsWith(), resume });
    await second.write(bytes.subarray(50));
    await second.complete();
    assert.deepEqual(store.sizes, [15, 15, 15, 15, 15, 15, 5]);
    assert.ok((await store.read('key', 100)).bytes.equals(bytes));
  });

  it('parts are sent with the concurrency of the store', async () => {
    for (const parallelParts of [1, 3]) {
      const store = new SlowStore({ ...tiny, parallelParts });
      const writer = writerTo(store);
      await writeAll(writer, randomBytes(500));
      await writer.complete();
      assert.equal(store.mostUnderWay, parallelParts);
    }
  });

  it('concurrent parts are limited by memory, which is released in the end', async () => {
    const store = new SlowStore({ ...large, parallelParts: 8 });
    const pool = new BufferPool({ bytes: 2 * large.partSize });
    const writer = new PartWriter(store, 'key', optionsWith(pool));
    const bytes = randomBytes(20 * large.partSize);
    await writeAll(writer, bytes, 10_000);
    await writer.complete();
    assert.equal(store.mostUnderWay, 2);
    assert.ok((await store.read('key', 1e9)).bytes.equals(bytes));
    (await pool.claim(2 * large.partSize)).release();
  });

  it('a failed part releases the memory of all and reports its error', async () => {
    const store = new SlowStore({ ...large, parallelParts: 3 });
    const pool = new BufferPool({ bytes: 5 * large.partSize });
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
    const writer = new PartWriter(failing, 'key', optionsWith(pool));
    await assert.rejects(
      async () => {
        await writeAll(writer, randomBytes(20 * large.partSize), 10_000);
        await writer.settle();
      },
      { message: 'the fourth part failed' },
    );
    await writer.discard();
    (await pool.claim(5 * large.partSize)).release();
    for await (const { key } of store.listMultiparts('')) assert.fail(`${key} was left`);
  });

  it('parts of an idle client are stored early while others wait for memory', async () => {
    const store = new SlowStore({ ...large, parallelParts: 3 });
    const pool = new BufferPool({ bytes: large.partSize, holdMs: 20 });
    const options = optionsWith(pool);
    const uploads = ['a', 'b', 'c', 'd'].map((key) => ({
      key,
      writer: new PartWriter(store, key, options),
      bytes: randomBytes(2.5 * large.partSize),
    }));
    const nearlyPart = Math.floor(0.9 * large.partSize);
    // Each has nearly a part, more than all may have together, and stalls.
    await Promise.all(
      uploads.map(async ({ writer, bytes }) => {
        await writeAll(writer, bytes.subarray(0, nearlyPart), 10_000);
      }),
    );
    await Promise.all(
      uploads.map(async ({ writer, bytes }) => {
        await writeAll(writer, bytes.subarray(nearlyPart), 10_000);
        await writer.complete();
      }),
    );
    for (const { key, bytes } of uploads) assert.ok((await store.read(key, 1e9)).bytes.equals(bytes));
    assert.deepEqual((await store.list({ prefix: 'spill' })).objects, []);
    (await pool.claim(large.partSize)).release();
  });

  it('parts keep their bytes while other uploads need memory, stall and fail', async () => {
    let seed = 1;
    /** A whole number below a limit, the same ones in every run. */
    const below = (limit: number) => (seed = (seed * 48271) % 2147483647) % limit;
    for (let round = 0; round < 6; round++) {
      const isFailing = round % 3 === 0;
      const store = new SlowStore({
        ...large,
        equalParts: round % 4 === 1,
        parallelParts: 1 + below(3),
        replacesParts: false,
      });
      const unsure = new Proxy<ObjectStore>(store, {
        get: (target, property) => {
          const value: unknown = Reflect.get(target, property);
          if (typeof value !== 'function') return value;
          return async (...args: unknown[]): Promise<unknown> => {
            await sleep(below(8));
            if (isFailing && below(20) === 0) throw new Error('the store failed');
            return await (Reflect.apply(value, target, args) as Promise<unknown>);
          };
        },
      });
      const bytes = (1 + below(2)) * large.partSize + below(2) * unclaimedBytes;
      const pool = new BufferPool({ bytes, holdMs: below(15) });
      await Promise.all(
        Array.from({ length: 12 }, async (_, i) => {
          const content = randomBytes(below(5 * large.partSize));
          const middle = below(2) * below(content.length);
          let resume: ConstructorParameters<typeof PartWriter>[2]['resume'];
          for (const [from, to] of [
            [0, middle],
            [middle, content.length],
          ] as const) {
            const tail = resume?.tail.byteLength ?? 0;
            const claim =
              tail > unclaimedBytes ? await pool.claim(Math.max(tail, large.partSize)) : undefined;
            const newKey = () => `spill/${i}/${below(1e9)}`;
            const writer = new PartWriter(unsure, `key-${i}`, {
              pool,
              newKey,
              ...(resume !== undefined && { resume: { ...resume, claim } }),
            });
            writer.allowSpilling();
            try {
              for (let at = from, next = from; at < to; at = next) {
                next = Math.min(to, at + 1 + below(2 * unclaimedBytes));
                if (below(10) === 0) await sleep(below(30));
                await writer.write(content.subarray(at, next));
              }
              await writer.settle();
              await sleep(below(20));
              if (to === content.length) await writer.complete();
              resume = { multipart: writer.multipart, tail: Buffer.from(writer.tail) };
            } catch (error) {
              assert.ok(isFailing, String(error));
              await writer.discard();
              return;
            } finally {
              writer.close();
            }
          }
          assert.ok((await store.read(`key-${i}`, 1e9)).bytes.equals(content), `round ${round}, upload ${i}`);
        }),
      );
      // All of it is there again.
      (await pool.claim(bytes)).release();
      if (!isFailing) assert.deepEqual((await store.list({ prefix: 'spill' })).objects, []);
    }
  });

  it('parts that were stored early are deleted with an abandoned upload', async () => {
    const store = new SlowStore(large);
    const pool = new BufferPool({ bytes: large.partSize, holdMs: 0 });
    const writer = new PartWriter(store, 'key', optionsWith(pool));
    await writer.write(randomBytes(0.9 * large.partSize));
    const claim = await pool.claim(large.partSize);
    assert.equal((await store.list({ prefix: 'spill' })).objects.length, 1);
    claim.release();
    await writer.discard();
    assert.deepEqual((await store.list({})).objects, []);
  });

  it('small chunks do not use up the number of parts', async () => {
    const store = new SlowStore(tiny);
    let resume: { multipart: PartWriter['multipart']; tail: Buffer } = {
      multipart: undefined,
      tail: Buffer.alloc(0),
    };
    const bytes = randomBytes(6 * 400);
    for (let at = 0; at < bytes.length; at += 6) {
      const writer = new PartWriter(store, 'key', { ...optionsWith(), resume });
      await writer.write(bytes.subarray(at, at + 6));
      await writer.settle();
      resume = { multipart: writer.multipart, tail: Buffer.from(writer.tail) };
    }
    await new PartWriter(store, 'key', { ...optionsWith(), resume }).complete();
    assert.ok(store.sizes.length < tiny.maxParts);
    assert.ok((await store.read('key', 1e6)).bytes.equals(bytes));
  });
});
