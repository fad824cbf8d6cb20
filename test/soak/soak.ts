/**
 * `npm run soak -- [--minutes 60] [--seed 1] [--rounds n] [--on folder|SCS|Swift|MinIO|versitygw]`: many clients at once, round
 * after round, on each kind of store in turn. In every second round instances are killed and the bucket fails now and then. It ends at
 * the first answer that cannot be, and says how to have the same round again.
 */
import { parseArgs } from 'node:util';
import { bucketProxy, type Fate } from '../servers/bucket-proxy.ts';
import { onMinio, onScs, onSwift, onVersitygw, proxied, type BucketKind } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { Random } from './random.ts';
import type { Weaknesses } from './registry-model.ts';
import { round, type RoundResult } from './round.ts';

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

interface Options {
  readonly minutes: number;
  readonly rounds: number;
  readonly seed: number;
  readonly steps: number;
  readonly grounds: readonly GroundName[];
}

const groundNames = ['folder', 'SCS', 'Swift', 'MinIO', 'versitygw'] as const;
type GroundName = (typeof groundNames)[number];

const bucketKinds = { SCS: onScs, Swift: onSwift, MinIO: onMinio, versitygw: onVersitygw };

const usage = `Usage: npm run soak -- [--minutes 60] [--rounds N] [--seed 1] [--steps 2000] [--on folder|SCS|Swift|MinIO|versitygw]

16 clients on three instances, round after round of so many steps, on each kind of store in turn.
It ends with the first answer that cannot be, and says how to have that round again.`;

const { minutes, rounds, seed: firstSeed, steps, grounds: names } = readOptions(process.argv.slice(2));
const chosen: Ground[] = [];

const totals = { rounds: 0, answered: 0, failed: 0, flickered: 0, kills: 0, swept: 0 };
const began = performance.now();
const isOver = () => totals.rounds >= rounds || performance.now() - began > minutes * 60_000;
try {
  for (const name of names) chosen.push(await start(name));
  for (let seed = firstSeed; !isOver(); seed++)
    for (const ground of chosen) {
      if (isOver()) break;
      await once(ground, seed);
    }
} finally {
  for (const { stop } of chosen) await stop();
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
    console.error(
      `The same again: npm run soak -- --rounds 1 --steps ${steps} --seed ${seed} --on ${ground.name}`,
    );
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

function readOptions(args: readonly string[]): Options {
  const { minutes: time, rounds: count, seed, steps: number, on, help } = parse(args);
  if (help) giveUp(usage, 0);
  return {
    minutes: above(0, '--minutes', time),
    rounds: count === undefined ? Infinity : above(0, '--rounds', count),
    seed: above(-1, '--seed', seed),
    steps: above(0, '--steps', number),
    grounds: on === undefined ? available() : [named(on)],
  };
}

function parse(args: readonly string[]) {
  const options = {
    minutes: { type: 'string', default: '60' },
    rounds: { type: 'string' },
    seed: { type: 'string', default: '1' },
    steps: { type: 'string', default: '2000' },
    on: { type: 'string' },
    help: { type: 'boolean', default: false },
  } as const;
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    return giveUp(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
  }
}

function above(least: number, option: string, text: string): number {
  const number = Number(text);
  if (/^\d{1,9}$/.test(text) && number > least) return number;
  return giveUp(`${option}: ${JSON.stringify(text)} is no whole number above ${least}\n\n${usage}`);
}

function named(text: string): GroundName {
  const name = groundNames.find((one) => one === text);
  if (name === undefined) return giveUp(`--on: ${JSON.stringify(text)} is none of ${groundNames.join(', ')}`);
  const { skip } = needs(name);
  return skip === undefined ? name : giveUp(`--on ${name}: ${skip}`);
}

function available(): readonly GroundName[] {
  return groundNames.filter((name) => needs(name).skip === undefined);
}

function needs(name: GroundName): ReturnType<typeof requires> {
  return name === 'folder' ? {} : requires(...bucketKinds[name].needs);
}

async function start(name: GroundName): Promise<Ground> {
  if (name === 'folder') return folder;
  const kind = bucketKinds[name];
  return await bucketGround(kind, kind === onSwift ? { listingsLag: true, rewritesFlicker: true } : {});
}

function giveUp(why: string, code = 2): never {
  (code === 0 ? console.log : console.error)(why);
  process.exit(code);
}
