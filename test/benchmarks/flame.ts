/*
 * `npm run flame -- ROW [--ours FOLDER] [--output FILE]`: measures a row of the benchmark with this registry alone, in one process
 * that is profiled, and draws where its CPU time went.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parsed } from '../conformance/command-line.ts';
import { messageOf } from '../conformance/messages.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { bundlePrograms } from '../servers/programs.ts';
import { ours, type Contender } from './contenders.ts';
import { flameGraph, type Profile } from './flame-graph.ts';
import { Generator } from './generator.ts';
import { measureRow } from './measure-row.ts';
import { isOwnRow, type RegistryRow } from './row.ts';
import { rows } from './rows.ts';
import { fullSizes } from './sizes.ts';

const usage = `Usage: npm run flame -- row [--ours folder] [--output file]

Draws a flame graph of a row of npm run bench, whose names npm run bench -- --list prints.

  --ours folder  profiles another checkout, after npm run build in it
  --output file  where it goes (flame.svg)
  --help         prints this`;

interface Options {
  readonly row: RegistryRow;
  readonly ours: string | undefined;
  readonly output: string;
}

process.exitCode = await main(process.argv.slice(2));

/** Returns the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const options = parsed(() => readOptions(args), usage);
  if (typeof options === 'number') return options;
  try {
    writeFileSync(options.output, await draw(options));
    console.log(`${options.output} shows ${options.row.name}`);
    return 0;
  } catch (error) {
    console.error(`npm run flame: ${messageOf(error)}`);
    return 1;
  }
}

function readOptions(args: readonly string[]): Options | 'help' {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ours: { type: 'string' },
      output: { type: 'string', default: 'flame.svg' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const [name, ...more] = positionals;
  const row = rows.find((one) => one.name === name);
  if (row === undefined || isOwnRow(row) || more.length > 0)
    throw new Error(`${JSON.stringify(positionals.join(' '))} is no row that a registry serves`);
  return { row, ours: values.ours, output: values.output };
}

async function draw({ row, ours: folder }: Options): Promise<string> {
  const temporary = await temporaryFolder('flame');
  const { path } = temporary;
  await bundlePrograms(join(path, 'programs'));
  const contender = ours(folder === undefined ? [] : [folder]).at(-1);
  if (contender === undefined) throw new Error('there is nothing to profile');
  const profiles = join(path, 'profiles');
  const { registries } = await measureRow(
    { ...row, workers: 1 },
    {
      contenders: [profiled(contender, profiles)],
      generator: await Generator.build(path),
      sizes: { ...fullSizes, rounds: 1, seconds: 6, pulls: 10 },
      progress: () => undefined,
    },
  );
  const why = registries.find((one) => one.why !== undefined)?.why;
  if (why !== undefined) throw new Error(why);
  // A registry that was started again has written two: the last is of the measurement.
  const file = readdirSync(profiles).sort().at(-1) ?? '';
  const profile = JSON.parse(readFileSync(join(profiles, file), 'utf8')) as Profile;
  temporary.remove();
  return flameGraph(profile, `${row.title(fullSizes)}, ${row.store}: CPU time of the server`);
}

/** The same registry under V8's profiler, which writes when it ends. */
function profiled(contender: Contender, folder: string): Contender {
  return {
    ...contender,
    program: async (start) => {
      const { line, env } = await contender.program(start);
      const [program, ...args] = line;
      return { line: [program, '--cpu-prof', `--cpu-prof-dir=${folder}`, ...args], env };
    },
  };
}
