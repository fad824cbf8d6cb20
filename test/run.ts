/**
 * `npm test [file, folder or part of a path …] [-- --grep pattern]`: runs the tests and reports on them.
 * `npm run coverage` does so with the same arguments, and says how much of the sources the tests ran.
 * The last line is `N passed, N failed[, N skipped]`; only tests count, not the suites around them.
 */
import { existsSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { run, type RunOptions } from 'node:test';
import type { TestEvent } from 'node:test/reporters';
import { parseArgs } from 'node:util';
import { coverageOptions, printCoverage } from './coverage.ts';
import { keepIn, keepLog } from './logs/kept.ts';
import { Report } from './report.ts';
import { bundlePrograms } from './servers/programs.ts';

/** For each test and hook, in milliseconds. A suite may take as long as its tests. */
const TEST_TIMEOUT = 5 * 60_000;

/** For the whole run: a file that does not end, because it left something open, has no other limit. */
const RUN_TIMEOUT = 45 * 60_000;

const usage = 'Usage: npm test [file, folder or part of a path …] [-- --grep regular-expression]';

/** On two cores: tests of failures wait much of their time. */
const FILES_AT_ONCE = 3;

const allLogs = resolve(import.meta.dirname, 'logs/all-logs.ts');

process.exitCode = await main();

async function main(): Promise<number> {
  const { positionals, patterns, coverage } = readArguments();
  const files = chooseFiles(positionals);
  const report = new Report();
  const signal = AbortSignal.any([interruption(), AbortSignal.timeout(RUN_TIMEOUT)]);
  // Not a folder of servers/: that would end this process at the first signal, without a report.
  const folder = mkdtempSync(join(tmpdir(), 'stowage-run-'));
  keepIn(folder);
  // Hundreds of processes are started, each of which would compile the same files.
  process.env['NODE_COMPILE_CACHE'] ??= folder;
  // Coverage is told by source, and of a bundle that is not known.
  if (!coverage) await bundlePrograms(join(folder, 'programs'));
  await runFiles(files, report, signal, {
    ...(patterns && { testNamePatterns: patterns }),
    ...(coverage && coverageOptions),
  });
  // Only a whole run has logged all there is.
  if (positionals.length === 0 && patterns === undefined) await runFiles([allLogs], report, signal);
  rmSync(folder, { recursive: true, force: true });
  return report.finish();
}

async function runFiles(
  files: readonly string[],
  report: Report,
  signal: AbortSignal,
  options: RunOptions = {},
): Promise<void> {
  if (files.length === 0) return;
  report.expect(files);
  const events = run({
    files: [...files],
    isolation: 'process',
    concurrency: FILES_AT_ONCE,
    execArgv: [`--test-timeout=${TEST_TIMEOUT}`],
    signal,
    ...options,
  });
  // Registries within the files themselves write there.
  const keep = keepLog();
  for await (const event of events as AsyncIterable<TestEvent>) {
    report.add(event);
    if (event.type === 'test:coverage') printCoverage(event.data.summary);
    if (event.type === 'test:stdout' || event.type === 'test:stderr') keep(event.data.message);
  }
}

function readArguments(): { positionals: string[]; patterns: RegExp[] | undefined; coverage: boolean } {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        grep: { type: 'string', short: 'g', multiple: true },
        coverage: { type: 'boolean', default: false },
      },
    });
    const patterns = values.grep?.map((pattern) => new RegExp(pattern));
    return { positionals, patterns, coverage: values.coverage };
  } catch (error) {
    return giveUp(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
  }
}

function giveUp(why: string): never {
  console.error(why);
  process.exit(2);
}

/** The test files below each folder, the files given, and those whose path has a part given; all without any. */
function chooseFiles(wanted: readonly string[]): string[] {
  const all = globSync('test/**/*.test.ts').sort();
  if (wanted.length === 0) return all.map((file) => resolve(file));
  const given = wanted.filter((file) => file.endsWith('.test.ts'));
  const parts = wanted.filter((part) => !given.includes(part));
  for (const part of parts)
    if (!all.some((file) => file.includes(part)))
      giveUp(`no test file has ${JSON.stringify(part)} in its path`);
  for (const file of given) if (!existsSync(file)) giveUp(`there is no file ${file}`);
  const chosen = all.filter((file) => parts.some((part) => file.includes(part)));
  return [...new Set([...given, ...chosen].map((file) => resolve(file)))];
}

/** Aborted by the first SIGINT or SIGTERM: the files under way are told to stop, and the report is still written. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      controller.abort(new Error(`interrupted by ${signal}`));
    });
  }
  return controller.signal;
}
