/*
 * `npm run bench`: this registry beside distribution and zot, on a folder and on S3. docs/performance.md says how it measures.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parsed } from '../conformance/command-line.ts';
import { messageOf } from '../conformance/messages.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { whyNotGo } from '../servers/go.ts';
import { bundlePrograms } from '../servers/programs.ts';
import { ours, peers, type Contender } from './contenders.ts';
import { Generator } from './generator.ts';
import { buildServers } from './go-servers.ts';
import { measureRow, type Bench } from './measure-row.ts';
import { readOptions, usage, type Options } from './options.ts';
import { performancePage, withTable } from './page.ts';
import type { Results, RowResults } from './results.ts';
import type { OwnRow, RegistryRow } from './row.ts';
import { chosenRows } from './rows.ts';
import { fullSizes, quickSizes } from './sizes.ts';
import { notes, textTable } from './table.ts';

process.exitCode = await main(process.argv.slice(2));

/** Returns the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const options = parsed(() => readOptions(args), usage);
  if (typeof options === 'number') return options;
  const rows = chosenRows(options.rows, options.quick);
  if (options.list) for (const { name, title } of rows) console.log(`${name}: ${title(fullSizes)}`);
  if (options.list) return 0;
  try {
    const earlier = options.compare === undefined ? undefined : readResults(options.compare);
    if (rows.length === 0) throw new Error('--rows: no row has such a name; --list prints them');
    const results = await bench(rows, options);
    report(results, options, earlier);
    return results.rows.every(hasOurs) ? 0 : 1;
  } catch (error) {
    console.error(`npm run bench: ${messageOf(error)}`);
    return 1;
  }
}

async function bench(rows: readonly (RegistryRow | OwnRow)[], options: Options): Promise<Results> {
  const why = whyNotGo();
  if (why !== undefined) throw new Error(`the client is in Go, and ${why.replace('needs', 'it needs')}`);
  const folder = await temporaryFolder('bench-programs');
  await bundlePrograms(join(folder.path, 'programs'));
  const generator = await Generator.build(folder.path);
  await buildServers(console.error);
  const others = await peers(options.zot);
  const contenders: Contender[] = [...ours(options.ours)];
  for (const other of others) if (!('why' in other)) contenders.push(other);
  const sizes = options.quick ? quickSizes : fullSizes;
  const set: Bench = {
    ...{ contenders, generator, progress },
    sizes: { ...sizes, rounds: options.rounds ?? sizes.rounds },
  };
  const [{ model } = { model: 'unknown' }, ...more] = cpus();
  const rowResults: RowResults[] = [];
  const results: Results = {
    date: new Date().toISOString().slice(0, 10),
    machine: { cores: more.length + 1, model },
    quick: options.quick,
    missing: others.filter((other) => 'why' in other),
    rows: rowResults,
  };
  for (const row of rows) {
    rowResults.push(await measureRow(row, set));
    // After each row, so that a run that is ended early was not for nothing.
    writeJson(results, options);
  }
  progress('');
  folder.remove();
  return results;
}

function writeJson(results: Results, { json }: Options): void {
  if (json !== undefined) writeFileSync(json, `${JSON.stringify(results, null, 2)}\n`);
}

/** On a terminal, one line says what is done. */
function progress(what: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${what}`);
  else if (what !== '') console.error(what);
}

function report(results: Results, { write }: Options, earlier: Results | undefined): void {
  console.log(textTable(results, earlier));
  for (const note of notes(results)) console.log(note);
  if (write) writeFileSync(performancePage, withTable(readFileSync(performancePage, 'utf8'), results));
}

function readResults(file: string): Results {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Results;
  } catch (error) {
    throw new Error(`--compare: ${messageOf(error)}`, { cause: error });
  }
}

function hasOurs({ registries }: RowResults): boolean {
  return registries.some(({ kind, samples }) => kind === 'here' && samples.length > 0);
}
