/**
 * `npm run soak -- [--minutes 60] [--seed 1] [--rounds n] [--on folder|S3|SCS]`: many clients at once, round after round,
 * on each kind of store in turn. In every second round instances are killed and the bucket fails now and then. It ends at
 * the first answer that cannot be, and says how to have the same round again.
 */
import { parseArgs } from 'node:util';
import { bucketProxy, type Fate } from '../servers/bucket-proxy.ts';
import { onScs, onSwift, proxied, type BucketKind } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { Random } from './random.ts';
import type { Weaknesses } from './registry-model.ts';
import { round, type RoundResult } from './round.ts';

const steps = 2000;

/** Steps between two kills. */
const killEvery = 150;

/** Requests to the bucket of which one fails. */
const faultEvery = 40;

interface Ground {
  readonly name: string;
  readonly weaknesses: Weaknesses;
  /** A new storage. @param random decides which requests to it fail; without it none does */
  readonly storage: (random: Random | undefined) => Promise<TestStorage>;
  readonly stop: () => Promise<void>;
}

const folder: Ground = {
  name: 'folder',
  weaknesses: {},
  storage: async () => await folderStorage(),
  stop: async () => {
    await Promise.resolve();
  },
};

async function bucketGround(kind: BucketKind, weaknesses: Weaknesses): Promise<Ground> {
  const buckets = await kind.start();
  const proxy = await bucketProxy(buckets.endpoint);
  return {
    name: kind.name,
    weaknesses,
    storage: async (random) => {
      proxy.reset();
      const direct = await buckets.newBucket();
      if (random === undefined) return direct;
      proxy.intercept = () => (random.onceIn(faultEvery) ? random.one(fates) : 'pass');
      return { ...direct, settings: proxied(kind, direct, proxy) };
    },
    stop: async () => {
      await proxy.stop();
      await buckets.stop();
    },
  };
}

const fates: readonly Fate[] = [
  'drop-request',
  'drop-answer',
  'cut-body',
  { status: 503, code: 'SlowDown' },
  { status: 500, code: 'InternalError' },
];

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    rounds: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: '1' },
    on: { type: 'string' },
  },
});
const [minutes, rounds, firstSeed] = [values.minutes, values.rounds, values.seed].map(Number);
if (
  minutes === undefined ||
  rounds === undefined ||
  firstSeed === undefined ||
  !(minutes > 0 && rounds > 0 && firstSeed >= 0)
)
  throw new Error('--minutes, --rounds and --seed take numbers');

const grounds: Ground[] = [folder, await bucketGround(onScs, {})];
if (requires(...onSwift.needs).skip === undefined)
  grounds.push(
    await bucketGround(onSwift, {
      listingsLag: true,
      rewritesFlicker: true,
    }),
  );
const chosen = grounds.filter(({ name }) => values.on === undefined || name === values.on);
if (chosen.length === 0) throw new Error(`--on takes ${grounds.map(({ name }) => name).join(', ')}`);

const totals = { rounds: 0, answered: 0, failed: 0, flickered: 0, kills: 0, swept: 0 };
const began = performance.now();
const isOver = () => totals.rounds >= rounds || performance.now() - began > minutes * 60_000;
try {
  for (let seed = firstSeed; !isOver(); seed++)
    for (const ground of chosen) {
      if (isOver()) break;
      await once(ground, seed);
    }
} finally {
  for (const { stop } of grounds) await stop();
  const spent = Math.round((performance.now() - began) / 60_000);
  console.log(`In ${spent} minutes: ${describe(totals)} in ${totals.rounds} rounds.`);
}

async function once(ground: Ground, seed: number): Promise<void> {
  const isHarmed = seed % 2 === 0;
  const storage = await ground.storage(isHarmed ? new Random(seed) : undefined);
  const harm = isHarmed ? { killEvery, faulty: ground !== folder } : {};
  try {
    const result = await round({ storage, seed, steps, ...ground.weaknesses, ...harm });
    add(result);
    const counts = describe({ ...result.steps, kills: result.kills, swept: result.swept });
    console.log(`${ground.name}, seed ${seed}: ${counts}`);
  } catch (error) {
    console.error(`The same again: npm run soak -- --rounds 1 --seed ${seed} --on ${ground.name}`);
    throw error;
  } finally {
    storage.remove();
  }
}

function add({ steps: outcomes, kills, swept }: RoundResult): void {
  totals.rounds++;
  totals.kills += kills;
  totals.swept += swept;
  for (const outcome of ['answered', 'failed', 'flickered'] as const) totals[outcome] += outcomes[outcome];
}

function describe({ answered, failed, flickered, kills, swept }: Omit<typeof totals, 'rounds'>): string {
  return `${answered} steps answered right, ${failed} failed, ${flickered} excused, ${kills} kills, ${swept} uploads swept`;
}
