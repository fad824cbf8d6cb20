import { globSync, readFileSync, rmSync } from 'node:fs';
import { relative } from 'node:path';
import type { RunOptions } from 'node:test';
import type { TestEvent } from 'node:test/reporters';

type Coverage = Extract<TestEvent, { type: 'test:coverage' }>['data']['summary'];

const sources = ['lib/**/*.ts', 'functions/**/*.ts', 'infra/**/*.ts'];

/**
 * Measures the lines, branches and functions of the sources that ran, in test files and their child processes. One file
 * at a time: code runs several times slower, and time limits of the tests are not extended.
 */
export const coverageOptions: RunOptions = { coverage: true, coverageIncludeGlobs: sources, concurrency: 1 };

/**
 * Deletes truncated coverage files, which processes leave that are killed while they write them: node:test reports no
 * coverage at all if it cannot parse one. For use between the last test and the report.
 */
export function dropTruncatedCoverage(): void {
  for (const file of globSync(`${process.env['NODE_V8_COVERAGE']}/coverage-*.json`)) {
    try {
      JSON.parse(readFileSync(file, 'utf8'));
    } catch {
      rmSync(file);
    }
  }
}

/** Prints a row for each source file, the totals, and the files that no test loaded. */
export function printCoverage({ files, totals }: Coverage): void {
  console.log('\n lines branches functions');
  for (const file of files.toSorted((a, b) => (a.path < b.path ? -1 : 1)))
    console.log(row(file, relative(process.cwd(), file.path)));
  console.log(row(totals, 'all of these'));
  const loaded = new Set(files.map(({ path }) => relative(process.cwd(), path)));
  const others = globSync(sources)
    .filter((file) => !loaded.has(file))
    .sort();
  if (others.length > 0) console.log(`\nnever loaded:\n  ${others.join('\n  ')}`);
}

type Percentages = Pick<
  Coverage['totals'],
  'coveredLinePercent' | 'coveredBranchPercent' | 'coveredFunctionPercent'
>;

function row(of: Percentages, name: string): string {
  const columns = [of.coveredLinePercent, of.coveredBranchPercent, of.coveredFunctionPercent];
  const [lines, branches, functions] = columns.map((percent) => percent.toFixed(1));
  return `${lines?.padStart(6)}${branches?.padStart(9)}${functions?.padStart(10)}  ${name}`;
}
