/**
 * `npm run conformance -- [--only folder|swift|scs|start]… [--write]`: runs the official OCI distribution conformance suite
 * against the registry in all its forms, and compares what it finds with docs/conformance.md, or writes it there.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { temporaryFolder } from '../servers/folder.ts';
import { requires } from '../servers/requires.ts';
import { parsed } from './command-line.ts';
import { messageOf } from './messages.ts';
import { readOptions, usage, type Options } from './options.ts';
import { problemsText, type NamedRun } from './problems.ts';
import { registryKinds, type RegistryKind } from './registries.ts';
import { ReportsFolder } from './reports.ts';
import { withResults } from './results-page.ts';
import { installSuite, specVersions, type Suite } from './suite.ts';
import { allConform, hasAllRuns, textTable, type Column, type Run } from './table.ts';

const pageName = 'docs/conformance.md';
const pageFile = resolve(import.meta.dirname, '../..', pageName);

process.exitCode = await main(process.argv.slice(2));

/** Returns the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const options = parsed(() => readOptions(args), usage);
  if (typeof options === 'number') return options;
  try {
    return (await conformance(await install(), options)) ? 0 : 1;
  } catch (error) {
    console.error(messageOf(error));
    return 1;
  }
}

async function install(): Promise<Suite> {
  try {
    return await installSuite((await temporaryFolder('conformance')).path);
  } catch (error) {
    throw new Error(`npm run conformance ${messageOf(error)}`, { cause: error });
  }
}

/** Returns whether all is as it should be. */
async function conformance(suite: Suite, { only, write }: Options): Promise<boolean> {
  const reports = new ReportsFolder();
  const chosen = registryKinds.filter(({ name }) => only?.includes(name) ?? true);
  const columns: Column[] = [];
  for (const kind of chosen.filter(isInstalled)) columns.push(await runsOn(kind, suite, reports));
  const conform = columns.length > 0 && allConform(columns);
  if (columns.length > 0) console.log(`\n${textTable(columns)}\n`);
  if (columns.length > 0 && !conform) {
    console.log(problemsText(columns.flatMap(namedRuns)));
    console.log(`\nThe suite's reports, with all requests and answers, are in ${reports.keep()}`);
  }
  if (only !== undefined) return conform;
  const isWhole = columns.length === registryKinds.length && columns.every(hasAllRuns);
  const isRight = isWhole ? intoPage(columns, write) : leavePage(write);
  return conform && isRight;
}

function isInstalled({ title, needs }: RegistryKind): boolean {
  const { skip } = requires(...needs);
  if (skip !== undefined) console.log(`${title} is left out: it ${skip}`);
  return skip === undefined;
}

/** One start for both versions. What breaks here is said, and the other registries still have their turn. */
async function runsOn(kind: RegistryKind, suite: Suite, reports: ReportsFolder): Promise<Column> {
  const runs: Run[] = [];
  try {
    const registry = await kind.start();
    try {
      for (const version of specVersions) {
        const began = performance.now();
        const results = await suite.run(registry.address, version, reports.of(kind, version));
        runs.push({ version, results });
        console.log(`${kind.title}, ${version}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
      }
    } finally {
      await registry.stop();
    }
    return { kind, runs };
  } catch (error) {
    console.error(`${kind.title} broke: ${messageOf(error)}`);
    return { kind, runs, broke: true };
  }
}

function namedRuns({ kind, runs }: Column): NamedRun[] {
  return runs.map(({ version, results }) => ({ name: `${kind.title} ${version}`, results }));
}

/** Writes the results, or compares them. Returns whether the page has them now. */
function intoPage(columns: readonly Column[], write: boolean): boolean {
  const page = readFileSync(pageFile, 'utf8');
  const wanted = withResults(page, columns);
  if (wanted === page) return true;
  if (!write) {
    console.error(`${pageName} has other results; npm run conformance -- --write puts these there`);
    return false;
  }
  writeFileSync(pageFile, wanted);
  console.log(`The results are in ${pageName}.`);
  return true;
}

/** Returns whether that is what was asked for. */
function leavePage(write: boolean): boolean {
  console.log(
    `${pageName} was not ${write ? 'written' : 'compared'}: that takes the results of all registries.`,
  );
  return !write;
}
