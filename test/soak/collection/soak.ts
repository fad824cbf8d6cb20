import { parseArgs } from 'node:util';
import { temporaryFolder } from '../../servers/folder.ts';
import { bundlePrograms } from '../../servers/programs.ts';
import { availableGrounds, startGround, type Ground, type GroundName } from '../grounds.ts';
import { above, giveUp, groundNamed } from '../options.ts';
import { startPrograms, stopPrograms, type Started } from './programs/start.ts';
import { collectionRound, type RoundResult } from './round.ts';

const usage = `Usage: npm run soak -- --gc [--minutes 60] [--pushes N] [--seed 1] [--per-round 2000] [--dry-run] [--on folder|SCS|Swift|MinIO|versitygw]

Clients push, mount, pull and delete small images on three instances, docker, containerd, podman and skopeo among them, and an
operator undoes, applies rules for retention and deletes repositories, while garbage collections run without a pause and with
their waits cut to seconds. In every second round instances and commands are killed and stopped, clocks are moved, and the
bucket fails now and then; in every other two, collections delete manifests without tags. It ends after the pushes or minutes
that are given, or at the first thing that is lost and the first error that a client's retries do not cure.

  --dry-run  collections only look`;

interface Options {
  readonly minutes: number;
  readonly pushes: number;
  readonly seed: number;
  readonly perRound: number;
  readonly dryRun: boolean;
  readonly grounds: readonly GroundName[];
}

/** `npm run soak -- --gc` */
export async function soakCollection(args: readonly string[]): Promise<void> {
  const { minutes, pushes, seed: firstSeed, perRound, dryRun, grounds: names } = readOptions(args);
  await bundlePrograms((await temporaryFolder('programs')).path);
  const grounds: Ground[] = [];
  const programs = await startPrograms((reason) => {
    console.log(`Without a client: it ${reason}`);
  });
  const total: Partial<Record<keyof RoundResult, number>> = {};
  const began = performance.now();
  const minutesSpent = () => (performance.now() - began) / 60_000;
  const isOver = () => (total.pushes ?? 0) >= pushes || minutesSpent() > minutes;
  let lost = 'something';
  try {
    for (const name of names) grounds.push(await startGround(name));
    for (let seed = firstSeed; !isOver(); seed++)
      for (const ground of grounds) {
        if (isOver()) break;
        const result = await once(ground, seed, { pushes: perRound, dryRun, programs });
        for (const [name, count] of Object.entries(result) as [keyof RoundResult, number][])
          total[name] = (total[name] ?? 0) + count;
      }
    lost = '0';
  } finally {
    for (const { stop } of grounds) await stop();
    await stopPrograms(programs);
    console.log(`In ${Math.round(minutesSpent())} minutes: ${describe(total)}, lost: ${lost}`);
  }
}

async function once(
  ground: Ground,
  seed: number,
  { pushes, dryRun, programs }: { pushes: number; dryRun: boolean; programs: readonly Started[] },
): Promise<RoundResult> {
  const isHarmed = seed % 2 === 0;
  const deletesUntagged = seed % 4 < 2;
  const began = performance.now();
  try {
    const result = await collectionRound({
      ground,
      seed,
      pushes,
      isHarmed,
      deletesUntagged,
      dryRun,
      programs,
    });
    const seconds = Math.round((performance.now() - began) / 1000);
    console.log(`${ground.name}, seed ${seed}, ${seconds} s: ${describe(result)}`);
    return result;
  } catch (error) {
    const options = `--pushes 1 --per-round ${pushes} --seed ${seed} --on ${ground.name}`;
    console.error(`Such a round again: npm run soak -- --gc ${options}`);
    throw error;
  }
}

function describe(counts: Partial<Record<keyof RoundResult, number>>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}

function readOptions(args: readonly string[]): Options {
  const { minutes, pushes, seed, 'per-round': perRound, on, help, 'dry-run': dryRun } = parse(args);
  if (help) giveUp(usage, 0);
  return {
    minutes: above(0, '--minutes', minutes, usage),
    pushes: pushes === undefined ? Infinity : above(0, '--pushes', pushes, usage),
    seed: above(-1, '--seed', seed, usage),
    perRound: above(0, '--per-round', perRound, usage),
    dryRun,
    grounds: on === undefined ? availableGrounds() : [groundNamed(on, usage)],
  };
}

function parse(args: readonly string[]) {
  const options = {
    gc: { type: 'boolean' },
    minutes: { type: 'string', default: '60' },
    pushes: { type: 'string' },
    seed: { type: 'string', default: '1' },
    'per-round': { type: 'string', default: '2000' },
    'dry-run': { type: 'boolean', default: false },
    on: { type: 'string' },
    help: { type: 'boolean', default: false },
  } as const;
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    return giveUp(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
  }
}
