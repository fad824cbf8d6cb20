import { randomBytes } from 'node:crypto';
import { assertSound, assertSwept } from '../functions/sound-bucket.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import type { TestStorage } from '../servers/storage.ts';
import { Actor, type Outcome, type World } from './actor.ts';
import { ManyInstances } from './client.ts';
import { History } from './history.ts';
import { Random } from './random.ts';
import { RegistryModel, type Weaknesses } from './registry-model.ts';
import { universeOf } from './universe.ts';

export interface RoundOptions extends Weaknesses {
  readonly storage: TestStorage;
  /** What each client does; not how they come to lie between each other. */
  readonly seed: number;
  readonly steps: number;
  readonly clients?: number;
  readonly instances?: number;
  /** Steps after which one of the instances is killed, again and again, and another takes its place. */
  readonly killEvery?: number;
  /** Whether requests may fail for other reasons, such as a bucket that does. */
  readonly faulty?: boolean;
}

export interface RoundResult {
  /** How many steps had each outcome. */
  readonly steps: Readonly<Record<Outcome, number>>;
  readonly kills: number;
  /** Uploads that were left over, and swept. */
  readonly swept: number;
}

/**
 * Many clients do random things with several instances at the same time. Each answer is held against a model, and in the
 * end the bucket is looked through, and swept.
 * @throws AssertionError with the seed
 */
export async function round(options: RoundOptions): Promise<RoundResult> {
  const { storage, seed, instances = 3 } = options;
  const fleet = new Fleet(storage, instances);
  try {
    await fleet.start();
    const steps = await clientsOn(fleet, options);
    const store = await storage.open();
    await assertSound(store, { partsDeleted: true });
    return { steps, kills: fleet.kills, swept: await assertSwept(store) };
  } catch (cause) {
    throw new Error(`the clients of seed ${seed} found a fault\n${fleet.output}`, { cause });
  } finally {
    await fleet.stop();
  }
}

async function clientsOn(
  fleet: Fleet,
  { seed, steps, clients = 16, killEvery = Infinity, faulty = false, ...weaknesses }: RoundOptions,
): Promise<RoundResult['steps']> {
  const universe = universeOf(seed);
  const history = new History();
  const world: World = {
    universe,
    history,
    model: new RegistryModel(history, universe.tags, weaknesses),
  };
  const random = new Random(seed);
  const counts = { answered: 0, failed: 0, flickered: 0 };
  const run = { done: 0, isOver: false };
  const act = async (ownSteps: number): Promise<void> => {
    const own = new Random(random.below(2 ** 32));
    const which = new Random(random.below(2 ** 32));
    const expectFailures = faulty || killEvery < Infinity;
    const client = new ManyInstances(() => fleet.urls, which, expectFailures);
    const actor = new Actor(world, client, own);
    try {
      for (let i = 0; i < ownSteps && !run.isOver; i++) {
        const outcome = await actor.step();
        counts[outcome]++;
        if (++run.done % killEvery === 0) await fleet.replaceOne(which);
      }
    } finally {
      client.close();
    }
  };
  const ends = await Promise.allSettled(
    // Together they do the requested number, also if it is not a multiple of the clients.
    Array.from({ length: clients }, async (_, j) => {
      await act(Math.floor((steps + j) / clients)).catch((error: unknown) => {
        run.isOver = true;
        throw error;
      });
    }),
  );
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return counts;
}

/** Instances of the registry on one storage. */
class Fleet {
  readonly #storage: TestStorage;
  readonly #size: number;
  readonly #secret = randomBytes(16).toString('hex');
  #running: Stowage[] = [];
  kills = 0;

  constructor(storage: TestStorage, size: number) {
    this.#storage = storage;
    this.#size = size;
  }

  get urls(): readonly string[] {
    return this.#running.map(({ address }) => `http://${address}`);
  }

  /** What the instances that run have logged: their errors. */
  get output(): string {
    return this.#running.map((one) => one.output()).join('');
  }

  async start(): Promise<void> {
    this.#running = await Promise.all(Array.from({ length: this.#size }, async () => await this.#serve()));
  }

  /** Kills an instance once another has replaced it. */
  async replaceOne(random: Random): Promise<void> {
    const next = await this.#serve();
    const old = random.one(this.#running);
    this.#running = this.#running.map((one) => (one === old ? next : one));
    this.kills++;
    await old.kill();
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#running.map(async (one) => {
        await one.stop();
      }),
    );
  }

  async #serve(): Promise<Stowage> {
    return await serve(this.#storage.settings, {
      REGISTRY_HTTP_SECRET: this.#secret,
      // So that the bytes of pulls pass through it.
      REGISTRY_STORAGE_REDIRECT_DISABLE: 'true',
      REGISTRY_LOG_LEVEL: 'error',
    });
  }
}
