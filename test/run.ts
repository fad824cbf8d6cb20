/**
 * `npm test [file, folder or part of a path …] [-- --grep pattern]`: runs the tests and reports on them.
 * The last line is `N passed, N failed[, N skipped]`; only tests count, not the suites around them.
 */
import { globSync } from 'node:fs';
import { resolve } from 'node:path';
import { run } from 'node:test';
import type { TestEvent } from 'node:test/reporters';
import { parseArgs } from 'node:util';
import { Report } from './report.ts';

/** For each test and hook, in milliseconds. A suite may take as long as its tests. */
const TEST_TIMEOUT = 5 * 60_000;

/** For the whole run: a file that does not end, because it left something open, has no other limit. */
const RUN_TIMEOUT = 20 * 60_000;

/** Big client suites spend their time in other processes; more at once only makes each slower. */
const FILES_AT_ONCE = 2;

process.exitCode = await main();

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { grep: { type: 'string', short: 'g', multiple: true } },
  });
  const files = chooseFiles(positionals);
  const report = new Report(files);
  const stop = interruption();
  const events = run({
    files,
    isolation: 'process',
    concurrency: FILES_AT_ONCE,
    execArgv: [`--test-timeout=${TEST_TIMEOUT}`],
    signal: AbortSignal.any([stop, AbortSignal.timeout(RUN_TIMEOUT)]),
    ...(values.grep && { testNamePatterns: values.grep.map((pattern) => new RegExp(pattern)) }),
  });
  if (files.length > 0) for await (const event of events as AsyncIterable<TestEvent>) report.add(event);
  return report.finish();
}

/** The test files below each folder, the files given, and those whose path has a part given; all without any. */
function chooseFiles(wanted: readonly string[]): string[] {
  const all = globSync('test/**/*.test.ts').sort();
  if (wanted.length === 0) return all.map((file) => resolve(file));
  const given = wanted.filter((file) => file.endsWith('.test.ts'));
  const parts = wanted.filter((part) => !given.includes(part));
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
