/**
 * `npm run soak -- [--minutes 60] [--seed 1] [--rounds n] [--on folder|SCS|Swift|MinIO|versitygw]`: many clients at once, round
 * after round, on each kind of store in turn. In every second round instances are killed and the bucket fails now and then. It ends at
 * the first answer that cannot be, and says how to have the same round again. With --gc, see collection/soak.ts.
 */
import { parseArgs } from 'node:util';
import { soakCollection } from './collection/soak.ts';
import { availableGrounds, startGround, type Ground, type GroundName } from './grounds.ts';
import { above, groundNamed, giveUp } from './options.ts';
import { Random } from './random.ts';
import { round, type RoundResult } from './round.ts';

/** Steps between two kills. */
const killEvery = 150;

interface Options {
  readonly minutes: number;
  readonly rounds: number;
  readonly seed: number;
  readonly steps: number;
  readonly grounds: readonly GroundName[];
}

const usage = `Usage: npm run soak -- [--minutes 60] [--rounds N] [--seed 1] [--steps 2000] [--on folder|SCS|Swift|MinIO|versitygw]

16 clients on three instances, round after round of so many steps, on each kind of store in turn.
It ends with the first answer that cannot be, and says how to have that round again.
With --gc it is the soak of garbage collection: npm run soak -- --gc --help`;

if (process.argv.includes('--gc')) {
  await soakCollection(process.argv.slice(2));
  process.exit();
}

const { minutes, rounds, seed: firstSeed, steps, grounds: names } = readOptions(process.argv.slice(2));
const chosen: Ground[] = [];

const totals = { rounds: 0, answered: 0, failed: 0, flickered: 0, kills: 0, swept: 0 };
const began = performance.now();
const isOver = () => totals.rounds >= rounds || performance.now() - began > minutes * 60_000;
try {
  for (const name of names) chosen.push(await startGround(name));
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
  const harm = isHarmed ? { killEvery, faulty: ground.canFail } : {};
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
    minutes: above(0, '--minutes', time, usage),
    rounds: count === undefined ? Infinity : above(0, '--rounds', count, usage),
    seed: above(-1, '--seed', seed, usage),
    steps: above(0, '--steps', number, usage),
    grounds: on === undefined ? availableGrounds() : [groundNamed(on, usage)],
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
