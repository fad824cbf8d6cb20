import {
  bestOf,
  cpuOf,
  isReached,
  medianOf,
  oursOf,
  ratioOf,
  type RegistryResults,
  type Results,
  type RowResults,
} from './results.ts';

/** A table of text: the first row is its head. */
type Cells = readonly (readonly string[])[];

/** For people: with columns that line up. */
export function textTable(results: Results, earlier?: Results): string {
  const cells = cellsOf(results, earlier);
  const widths = (cells[0] ?? []).map((_, column) =>
    Math.max(...cells.map((row) => row[column]?.length ?? 0)),
  );
  const lines = cells.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '));
  return lines.map((line) => line.trimEnd()).join('\n');
}

/** For docs/performance.md. */
export function markdownTable(results: Results): string {
  const [head = [], ...rows] = cellsOf(results);
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** Why registries are missing, or rows of some. */
export function notes({ missing, rows }: Results): readonly string[] {
  return [
    ...missing.map(({ name, why }) => `${name}: ${why}`),
    ...rows.flatMap((row) =>
      row.registries.flatMap(({ name, why }) => (why === undefined ? [] : [`${row.name}, ${name}: ${why}`])),
    ),
    ...rows.flatMap((row) => moreThanBest(row)),
  ];
}

function cellsOf(results: Results, earlier?: Results): Cells {
  const names = [...new Set(results.rows.flatMap(({ registries }) => registries.map(({ name }) => name)))];
  const head = [
    'work',
    ...names,
    'ratio',
    'CPU ratio',
    'goal',
    'reached',
    ...(earlier ? ['earlier ratio'] : []),
  ];
  const rows = results.rows.map((row) => [
    `${row.name.split('/')[0]?.replaceAll('-', ' ') ?? ''}: ${row.title} (${row.unit})`,
    ...names.map((name) => valueCell(row.registries.find((one) => one.name === name))),
    ratioText(ratioOf(row)),
    ratioText(cpuRatioOf(row)),
    goalText(row),
    reachedText(isReached(row)),
    ...(earlier ? [earlierText(row, earlier)] : []),
  ]);
  return [head, ...rows];
}

function valueCell(found: RegistryResults | undefined): string {
  if (found === undefined) return '';
  const value = medianOf(found);
  if (value === undefined) return '–';
  const values = found.samples.map((sample) => sample.value);
  if (values.length === 1) return numberText(value);
  return `${numberText(value)} (${numberText(Math.min(...values))}–${numberText(Math.max(...values))})`;
}

function numberText(value: number): string {
  const digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  return value.toLocaleString('en', { maximumFractionDigits: digits });
}

function ratioText(ratio: number | undefined): string {
  return ratio === undefined ? '–' : ratio.toFixed(2);
}

function goalText({ goal, unit, more }: RowResults): string {
  if (goal === undefined) return '–';
  if ('most' in goal) return `≤ ${goal.most} ${unit}`;
  return `${more ? '≥' : '≤'} ${goal.ratio.toFixed(2)}`;
}

function reachedText(reached: boolean | undefined): string {
  return reached === undefined ? '–' : reached ? 'yes' : 'no';
}

function earlierText(row: RowResults, earlier: Results): string {
  const before = earlier.rows.find(({ name }) => name === row.name);
  return before === undefined ? '–' : ratioText(ratioOf(before));
}

/** This registry's CPU time by the least of the others. */
function cpuRatioOf(row: RowResults): number | undefined {
  const own = oursOf(row);
  const ours = own && cpuOf(own);
  const theirs = row.registries.flatMap((one) => (one.kind === 'peer' ? (cpuOf(one) ?? []) : []));
  return ours === undefined || theirs.length === 0 ? undefined : ours / Math.min(...theirs);
}

/** The parts of a value in which this registry needs more than the best. */
function moreThanBest(row: RowResults): readonly string[] {
  const [own, best] = [oursOf(row)?.samples[0]?.parts, bestOf(row)];
  const theirs = best?.samples[0]?.parts;
  if (own === undefined || theirs === undefined) return [];
  return Object.entries(own)
    .filter(([part, value]) => value > (theirs[part] ?? Infinity))
    .map(([part, value]) => `${row.name}, ${part}: ${value}, ${best?.name ?? ''} ${theirs[part] ?? ''}`);
}
