import type { RegistryKind } from './registries.ts';
import { conforms, type Counts, type Results, type SummaryLine, type Verdict } from './results.ts';
import { specVersions, type SpecVersion } from './suite.ts';

/** What the suite found for one version. */
export interface Run {
  readonly version: SpecVersion;
  readonly results: Results;
}

/** A registry with its runs. */
export interface Column {
  readonly kind: Pick<RegistryKind, 'title' | 'markdown'>;
  readonly runs: readonly Run[];
  /** Whether it did not start, end or run as it should, so that not all runs are there, or none can be trusted. */
  readonly broke?: boolean;
}

/** From the best to the worst. */
const verdicts: readonly Verdict[] = ['pass', 'disabled', 'skipped', 'not run', 'FAIL'];

type Cells = readonly string[];

/** A table for the terminal. */
export function textTable(columns: readonly Column[]): string {
  const rows = [['', ...columns.map(({ kind }) => kind.title)], ...rowsOf(columns)];
  const widths = rows[0]?.map((_, index) => Math.max(...rows.map((row) => row[index]?.length ?? 0))) ?? [];
  const line = (row: Cells) => row.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join('  ');
  return rows.map((row) => line(row).trimEnd()).join('\n');
}

/** The same table in Markdown. */
export function markdownTable(columns: readonly Column[]): string {
  const head = ['', ...columns.map(({ kind }) => kind.markdown)];
  const rows = [head, head.map(() => '---'), ...rowsOf(columns)];
  return rows.map((row) => `| ${row.join(' | ')} |`.replaceAll('  ', ' ')).join('\n');
}

/** Whether each has run for all versions, and conforms. */
export function allConform(columns: readonly Column[]): boolean {
  return columns.every(
    (column) => hasAllRuns(column) && column.runs.every(({ results }) => conforms(results)),
  );
}

/** Whether it has been run for all versions. */
export function hasAllRuns({ runs, broke }: Column): boolean {
  return broke !== true && runs.length === specVersions.length;
}

/** A row for each line of the summary, and one for the counts of each version. */
function rowsOf(columns: readonly Column[]): Cells[] {
  const all = columns.flatMap(({ runs }) => runs);
  const lines = unique(all.flatMap(({ results }) => results.lines.map(labelOf)));
  const versions = unique(all.map(({ version }) => version));
  return [
    ...lines.map((label) => [label, ...columns.map(({ runs }) => verdictCell(runs, label))]),
    ...versions.map((version) => [
      `Tests of ${version}`,
      ...columns.map(({ runs }) => countsCell(runs.find((run) => run.version === version))),
    ]),
  ];
}

function labelOf({ section, name }: SummaryLine): string {
  return `${section}: ${name}`;
}

/** The worst verdict, and of which version where not all have it. */
function verdictCell(runs: readonly Run[], label: string): string {
  const found = runs.map(({ version, results }) => ({ version, verdict: verdictOf(results, label) }));
  const worst = verdicts.findLast((verdict) => found.some((one) => one.verdict === verdict)) ?? 'not run';
  const those = found.filter(({ verdict }) => verdict === worst);
  if (those.length === found.length) return worst;
  return `${worst} (${those.map(({ version }) => version).join(', ')})`;
}

function verdictOf({ lines }: Results, label: string): Verdict {
  return lines.find((line) => labelOf(line) === label)?.verdict ?? 'not run';
}

function countsCell(run: Run | undefined): string {
  return run === undefined ? 'not run' : countsText(run.results.counts);
}

/** Such as `983 passed`, and what else there is. */
export function countsText({ passed, failed, skipped }: Counts): string {
  const others = [failed > 0 ? `${failed} failed` : '', skipped > 0 ? `${skipped} skipped` : ''];
  return [`${passed} passed`, ...others.filter((text) => text !== '')].join(', ');
}

function unique<T>(items: readonly T[]): T[] {
  return [...new Set(items)];
}
