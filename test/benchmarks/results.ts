import type { Goal, Row, Sample } from './row.ts';

/** All that one run found, as its JSON has it. */
export interface Results {
  readonly date: string;
  readonly machine: { readonly cores: number; readonly model: string };
  readonly quick: boolean;
  /** Registries that were not here, and why. */
  readonly missing: readonly { readonly name: string; readonly why: string }[];
  readonly rows: readonly RowResults[];
}

export interface RowResults {
  readonly name: string;
  readonly title: string;
  readonly unit: Row['unit'];
  readonly more: boolean;
  readonly goal?: Goal;
  readonly registries: readonly RegistryResults[];
}

/** What was measured of one registry. */
export interface RegistryResults {
  readonly name: string;
  /** Whether it is ours, one to be reached, or shown beside. */
  readonly kind: 'here' | 'peer' | 'beside';
  readonly samples: readonly Sample[];
  /** Why there are none, or fewer. */
  readonly why?: string;
}

/** The median of the values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [lower = NaN, upper = NaN] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 1 ? upper : (lower + upper) / 2;
}

export function medianOf({ samples }: RegistryResults): number | undefined {
  return samples.length === 0 ? undefined : median(samples.map(({ value }) => value));
}

/** The median CPU time in µs of an operation or a MiB, where it was measured. */
export function cpuOf({ samples }: RegistryResults): number | undefined {
  const found = samples.flatMap(({ cpu }) => cpu ?? []);
  return found.length === 0 ? undefined : median(found);
}

/** This registry's results; of another checkout, by its name. */
export function oursOf({ registries }: RowResults, name = 'here'): RegistryResults | undefined {
  return registries.find((one) => one.kind === 'here' && one.name === name);
}

/** The best of the others. */
export function bestOf({ registries, more }: RowResults): RegistryResults | undefined {
  const others = registries.filter((one) => one.kind === 'peer' && one.samples.length > 0);
  const sorted = others.toSorted((a, b) => (medianOf(a) ?? 0) - (medianOf(b) ?? 0));
  return sorted.at(more ? -1 : 0);
}

/** This registry's value by the best of the others, or undefined where one is missing. */
export function ratioOf(row: RowResults, name?: string): number | undefined {
  const [own, best] = [oursOf(row, name), bestOf(row)];
  const [ours, theirs] = [own && medianOf(own), best && medianOf(best)];
  return ours === undefined || theirs === undefined ? undefined : ours / theirs;
}

/** Whether a goal was reached, or undefined where that is not known. */
export function isReached(row: RowResults): boolean | undefined {
  if (row.goal === undefined) return undefined;
  if ('most' in row.goal) {
    const own = oursOf(row);
    const value = own && medianOf(own);
    return value === undefined ? undefined : value <= row.goal.most;
  }
  const ratio = ratioOf(row);
  if (ratio === undefined) return undefined;
  return row.more ? ratio >= row.goal.ratio : ratio <= row.goal.ratio;
}
