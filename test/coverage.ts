import { globSync } from 'node:fs';
import { relative } from 'node:path';
import type { RunOptions } from 'node:test';
import type { TestEvent } from 'node:test/reporters';

type Coverage = Extract<TestEvent, { type: 'test:coverage' }>['data']['summary'];

const sources = ['lib/**/*.ts', 'functions/**/*.ts', 'infra/**/*.ts'];

/** Measures the lines, branches and functions of the sources that ran, in test files and their child processes. */
export const coverageOptions: RunOptions = { coverage: true, coverageIncludeGlobs: sources };

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
