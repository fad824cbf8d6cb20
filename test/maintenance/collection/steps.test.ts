import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Garbage } from '../../../lib/maintenance/collection/garbage.ts';
import { look, type SeenBlob, type SeenRepository } from '../../../lib/maintenance/collection/look.ts';
import {
  removeLook,
  stepLook,
  type ResumableVisitor,
} from '../../../lib/maintenance/collection/look-steps.ts';
import type { Listing, ListOptions, ObjectStore } from '../../../lib/storage/store.ts';
import { StoreUnavailable } from '../../../lib/storage/store.ts';
import { MemoryStore } from '../../registry/memory-store.ts';
import { onStores } from '../../registry/on-stores.ts';
import { fill, FilledBucket } from './filled-bucket.ts';

/** Records all that it sees. */
class Recorder implements ResumableVisitor {
  seen: string[] = [];

  save(): Buffer {
    return Buffer.from(JSON.stringify(this.seen));
  }

  restore(saved: Buffer): void {
    this.seen = JSON.parse(saved.toString()) as string[];
  }

  repository({ id, listed, named }: SeenRepository): void {
    this.seen.push(`${id} ${listed.name}: ${listed.digests.size} digests, ${named.damage.join()}`);
  }

  blob({ digest, size, isYoung, owners }: SeenBlob): void {
    this.seen.push(JSON.stringify({ digest, size, isYoung, owners }));
  }

  missing({ digest, owners }: Pick<SeenBlob, 'digest' | 'owners'>): void {
    this.seen.push(JSON.stringify({ digest, owners }));
  }
}

const all = { youngMs: -3_600_000, untagged: () => -3_600_000 };
const kept = { ...all, keeps: true };

/** @returns what one look without steps sees */
async function seenAtOnce(store: ObjectStore): Promise<string[]> {
  const recorder = new Recorder();
  await look(store, all, recorder);
  return recorder.seen;
}

/** Steps that each end at the first place where they can, or where a clock that counts these places says. */
async function lookInSteps(store: ObjectStore, run: string, places = 1) {
  for (let steps = 1; ; steps++) {
    let time = 0;
    const recorder = new Recorder();
    const clock = () => time++;
    const isComplete = await stepLook(store, kept, recorder, { run, clock, budgetMs: places, saveMs: 1e9 });
    if (isComplete) return { seen: recorder.seen, steps };
    assert.ok(steps < 10_000);
  }
}

function keysOf(store: MemoryStore, folder: string): string[] {
  return [...store.objects.keys()].filter((key) => key.startsWith(`docker/registry/v2/gc/${folder}/`)).sort();
}

onStores('a look in steps', (store, kind) => {
  it('sees the same as one look, however often it stops', async () => {
    await fill(store());
    const seen = await seenAtOnce(store());
    for (const places of kind === 'a folder' ? [1, 7] : [7]) {
      const inSteps = await lookInSteps(store(), `run-${places}`, places);
      assert.deepEqual(inSteps.seen, seen);
      assert.ok(inSteps.steps > seen.length / (places + 3), `${inSteps.steps} steps`);
      await removeLook(store(), `run-${places}`);
    }
    const { objects } = await store().list({ prefix: 'docker/registry/v2/gc/steps/' });
    assert.deepEqual(objects, []);
  });
});

/** Ends the process that uses it at one of its requests, before that arrives or after. */
class KilledStore extends MemoryStore {
  #left = Infinity;
  #isBefore = true;

  killAt(request: number, isBefore: boolean): void {
    this.#left = request;
    this.#isBefore = isBefore;
  }

  override async read(...args: Parameters<MemoryStore['read']>): ReturnType<MemoryStore['read']> {
    return await this.#orKilled(async () => await super.read(...args));
  }

  override async open(...args: Parameters<MemoryStore['open']>): ReturnType<MemoryStore['open']> {
    return await this.#orKilled(async () => await super.open(...args));
  }

  override async list(options: ListOptions): Promise<Listing> {
    return await this.#orKilled(async () => await super.list(options));
  }

  override async put(...args: Parameters<MemoryStore['put']>): ReturnType<MemoryStore['put']> {
    return await this.#orKilled(async () => await super.put(...args));
  }

  override async delete(keys: readonly string[]): Promise<void> {
    await this.#orKilled(async () => {
      await super.delete(keys);
    });
  }

  async #orKilled<T>(request: () => Promise<T>): Promise<T> {
    const isKilled = --this.#left < 0;
    if (isKilled && this.#isBefore) throw new Killed();
    const result = await request();
    if (isKilled) throw new Killed();
    return result;
  }
}

class Killed extends StoreUnavailable {
  constructor() {
    super('', 'killed');
  }
}

describe('a look in steps', () => {
  it('sees the same if it is killed at any request', async () => {
    const store = new KilledStore({ conditionalWrites: true });
    await fill(store);
    const seen = await seenAtOnce(store);
    await look(store, kept, new Garbage());
    const packs = keysOf(store, 'references').map((key) => store.objects.get(key)?.bytes);
    let kills = 0;
    for (const isBefore of [true, false])
      for (let request = 0; ; request++) {
        const run = `run-${request}-${String(isBefore)}`;
        await store.delete(keysOf(store, 'references'));
        store.killAt(request, isBefore);
        const killed = await lookInSteps(store, run, 20).catch((error: unknown) => error);
        store.killAt(Infinity, true);
        if (!(killed instanceof Killed)) {
          await removeLook(store, run);
          break;
        }
        kills += 1;
        const { seen: again } = await lookInSteps(store, run, 20);
        assert.deepEqual(again, seen, run);
        await removeLook(store, run);
      }
    assert.ok(kills > 100, `${kills} kills`);
    assert.deepEqual(
      keysOf(store, 'references').map((key) => store.objects.get(key)?.bytes),
      packs,
    );
    assert.deepEqual(keysOf(store, 'steps'), []);
  });

  it('reads each manifest once, and writes the same packs as one look', async () => {
    const [once, inSteps] = [new CountingStore(), new CountingStore()];
    for (const store of [once, inSteps]) {
      const bucket = new FilledBucket(store);
      for (const [repository, images] of [
        ['a', 40],
        ['b', 2500],
        ['c', 40],
      ] as const)
        for (let i = 0; i < images; i++)
          await bucket.manifest(repository, `${repository} ${i}`, '', {
            layers: [],
            annotations: { i: `${i}` },
          });
    }
    await look(once, { keeps: true }, new Garbage());
    // Most steps end within the largest repository.
    const { steps } = await lookInSteps(inSteps, 'run', 50);
    assert.ok(steps > 40, `${steps} steps`);
    assert.deepEqual([once.manifests, inSteps.manifests], [2580, 2580]);
    const packs = (store: MemoryStore) =>
      keysOf(store, 'references').map((key) => [key, store.objects.get(key)?.bytes]);
    assert.equal(packs(once).length, 2);
    assert.deepEqual(packs(inSteps), packs(once));
  });

  it('gives its result again until it is removed, and what visitors counted', async () => {
    const store = new MemoryStore({ conditionalWrites: true });
    await fill(store);
    const once = new Garbage();
    await look(store, all, once);
    for (const at of ['first', 'again']) {
      let garbage = new Garbage();
      let time = 0;
      while (!(await stepLook(store, all, garbage, { run: 'run', clock: () => time++, budgetMs: 9 })))
        garbage = new Garbage();
      assert.deepEqual(garbage.save(), once.save(), at);
      assert.deepEqual(garbage.repositories, once.repositories, at);
    }
    await removeLook(store, 'run');
    assert.deepEqual(keysOf(store, 'steps'), []);
  });

  it('begins again if its state is damaged, or a part of its spool is missing', async () => {
    const store = new MemoryStore({ conditionalWrites: true });
    await fill(store);
    const seen = await seenAtOnce(store);
    const stop = async () => {
      let time = 0;
      const options = { run: 'run', clock: () => time++, budgetMs: 50, saveMs: 20 };
      assert.equal(await stepLook(store, kept, new Recorder(), options), false);
      const keys = keysOf(store, 'steps');
      assert.ok(keys.length >= 2, keys.join());
      return keys;
    };
    const [segment = ''] = await stop();
    await store.delete([segment]);
    assert.deepEqual((await lookInSteps(store, 'run', 50)).seen, seen);
    await removeLook(store, 'run');
    const state = (await stop()).at(-1) ?? '';
    const bytes = Buffer.from(store.objects.get(state)?.bytes ?? '');
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    await store.put(state, bytes);
    assert.deepEqual((await lookInSteps(store, 'run', 50)).seen, seen);
  });

  it('is done by one process at a time: another fails when it saves', async () => {
    const store = new MemoryStore({ conditionalWrites: true });
    await fill(store);
    const seen = await seenAtOnce(store);
    let time = 0;
    const other = new Recorder();
    const slow: ResumableVisitor = {
      save: () => other.save(),
      restore: () => undefined,
      repository: async (...args) => {
        if (other.seen.length === 0) await lookInSteps(store, 'run', 50);
        other.repository(args[0]);
      },
      blob: () => undefined,
    };
    await assert.rejects(
      stepLook(store, kept, slow, { run: 'run', clock: () => time++, budgetMs: 1 }),
      /another process goes on with the same look/,
    );
    assert.deepEqual((await lookInSteps(store, 'run', 50)).seen, seen);
  });

  it('removes looks that nobody has gone on with for a week', async () => {
    const hour = 3_600_000;
    let age = 0;
    const store = new MemoryStore({ now: () => new Date(Date.now() - age) });
    await fill(store);
    const begin = async (run: string) => {
      let time = 0;
      await stepLook(store, all, new Recorder(), { run, clock: () => time++, budgetMs: 30 });
    };
    for (const [run, hours] of [
      ['old', 7 * 24 + 1],
      ['recent', 7 * 24 - 1],
      ['new', 0],
    ] as const) {
      age = hours * hour;
      await begin(run);
    }
    const runs = new Set(keysOf(store, 'steps').map((key) => key.split('/')[5]));
    assert.deepEqual([...runs], ['new', 'recent']);
  });
});

/** Counts the manifests that are read. */
class CountingStore extends MemoryStore {
  manifests = 0;

  override async read(...args: Parameters<MemoryStore['read']>): ReturnType<MemoryStore['read']> {
    if (args[0].endsWith('/data')) this.manifests += 1;
    return await super.read(...args);
  }
}
