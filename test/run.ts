/**
 * `npm test [file, folder or part of a path …] [-- --grep pattern]` runs tests.
 * `npm run test:long` takes the same arguments, and runs those in test/long, which take minutes.
 * `npm run coverage` takes the same arguments and also prints the coverage of each source file.
 * The last line is `N passed, N failed[, N skipped]`. Suites are not counted.
 */
import { existsSync, globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { run, type RunOptions } from 'node:test';
import type { TestEvent } from 'node:test/reporters';
import { parseArgs } from 'node:util';
import { coverageOptions, dropTruncatedCoverage, printCoverage } from './coverage.ts';
import { keepIn, keepLog } from './logs/kept.ts';
import { Report } from './report.ts';
import { bundlePrograms } from './servers/programs.ts';

/** For each test and hook. A suite may take as long as its tests. */
const TEST_TIMEOUT_MS = 5 * 60_000;

/** For the whole run: the only limit for a file that leaves something open and so does not end. */
const RUN_TIMEOUT_MS = 45 * 60_000;
const COVERAGE_TIMEOUT_MS = 3 * RUN_TIMEOUT_MS;

const usage = `Usage: npm test [file, folder or part of a path …] [-- --grep regular-expression]

Runs the tests in these files; all without arguments. npm run coverage takes the same arguments.

  --long      runs those in test/long, which are left out otherwise
  --grep, -g  runs only the tests whose name matches (repeatable)
  --help      prints this`;

/** For two cores: tests of failures spend much of their time waiting. */
const CONCURRENT_FILES = 3;

const allLogs = resolve(import.meta.dirname, 'logs/all-logs.ts');

process.exitCode = await main();

async function main(): Promise<number> {
  const { positionals, patterns, coverage, long } = readArguments();
  const files = chooseFiles(positionals, long);
  const report = new Report();
  const timeoutMs = coverage ? COVERAGE_TIMEOUT_MS : RUN_TIMEOUT_MS;
  const signal = AbortSignal.any([interruption(), AbortSignal.timeout(timeoutMs)]);
  // Not a folder of servers/folder.ts, which would end this process at a signal before the report is printed.
  const folder = mkdtempSync(join(tmpdir(), 'stowage-run-'));
  keepIn(folder);
  // Spares the hundreds of child processes from compiling the same files.
  process.env['NODE_COMPILE_CACHE'] ??= folder;
  // Coverage is measured by source file, so the programs must not run as bundles.
  if (!coverage) await bundlePrograms(join(folder, 'programs'));
  await runFiles(files, report, signal, {
    ...(patterns && { testNamePatterns: patterns }),
    ...(coverage && coverageOptions),
  });
  // The check of all logs needs a whole run.
  if (positionals.length === 0 && patterns === undefined && !long) await runFiles([allLogs], report, signal);
  rmSync(folder, { recursive: true, force: true });
  return report.end();
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
    concurrency: CONCURRENT_FILES,
    execArgv: [`--test-timeout=${TEST_TIMEOUT_MS}`],
    signal,
    ...options,
  });
  // The plan of the whole run is emitted immediately before node:test reads the coverage files.
  if (options.coverage)
    events.on('test:plan', ({ file }) => {
      if (file === undefined) dropTruncatedCoverage();
    });
  // Registries that run inside test files log there.
  const keep = keepLog();
  for await (const event of events as AsyncIterable<TestEvent>) {
    report.add(event);
    if (event.type === 'test:coverage') printCoverage(event.data.summary);
    if (event.type === 'test:stdout' || event.type === 'test:stderr') keep(event.data.message);
  }
}

interface Arguments {
  readonly positionals: readonly string[];
  readonly patterns: RegExp[] | undefined;
  readonly coverage: boolean;
  readonly long: boolean;
}

function readArguments(): Arguments {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        grep: { type: 'string', short: 'g', multiple: true },
        coverage: { type: 'boolean', default: false },
        long: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) {
      console.log(usage);
      process.exit(0);
    }
    const patterns = values.grep?.map((pattern) => new RegExp(pattern));
    return { positionals, patterns, coverage: values.coverage, long: values.long };
  } catch (error) {
    return giveUp(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
  }
}

function giveUp(why: string): never {
  console.error(why);
  process.exit(2);
}

/** The given files and those whose path contains a given part; all without arguments. @param long whether of those in test/long */
function chooseFiles(wanted: readonly string[], long: boolean): string[] {
  const all = globSync('test/**/*.test.ts')
    .filter((file) => file.startsWith(join('test', 'long')) === long)
    .sort();
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

/** Aborts at the first SIGINT or SIGTERM. Running files are stopped, and the report is still printed. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      controller.abort(new Error(`interrupted by ${signal}`));
    });
  }
  return controller.signal;
}
