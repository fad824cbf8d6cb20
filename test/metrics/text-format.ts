/** A line of the text format of Prometheus. */
export interface Line {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Reads what our metrics use of the format: no escapes in labels, no timestamps. @throws Error for any other line */
export function readMetrics(text: string): readonly Line[] {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return lines.map((line) => {
    const [, name = '', labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (value === undefined) throw new Error(`not a metric: ${line}`);
    const pairs = labels
      .matchAll(/(\w+)="([^"\\]*)"/g)
      .map(([, key = '', text = '']) => [key, text] as const);
    return { name, labels: Object.fromEntries(pairs), value: Number(value) };
  });
}

/** The sum of a metric over all lines that have these labels. */
export function sumOf(lines: readonly Line[], name: string, labels: Line['labels'] = {}): number {
  const matching = lines.filter(
    (line) =>
      line.name === name && Object.entries(labels).every(([key, value]) => line.labels[key] === value),
  );
  return matching.reduce((sum, { value }) => sum + value, 0);
}

/** The label names of each metric, as `name{a,b}`. */
export function shapesOf(lines: readonly Line[]): ReadonlySet<string> {
  return new Set(lines.map(({ name, labels }) => `${name}{${Object.keys(labels).toSorted().join(',')}}`));
}
