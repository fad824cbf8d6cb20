import type { Generator } from './generator.ts';
import type { Running } from './running.ts';
import type { Sizes } from './sizes.ts';

/** What one measurement found. */
export interface Sample {
  /** In the unit of the row. */
  readonly value: number;
  /** CPU time of the registry's processes in µs: for each operation, or each MiB of blobs. */
  readonly cpu?: number;
  /** Parts of the value, by name. */
  readonly parts?: Readonly<Record<string, number>>;
}

/** Measures once. */
export type Measure = () => Promise<Sample>;

/** What must be reached. Ratios are to the best of the other registries. */
export type Goal = { readonly ratio: number } | { readonly most: number };

/** One line of the table. */
export interface Row {
  /** Where the images are, and what is done: `folder/push` */
  readonly name: string;
  readonly title: (sizes: Sizes) => string;
  readonly unit: 'MiB/s' | 'per second' | 'MB' | 'µs' | 'times' | 'requests';
  /** Whether a larger value is better. */
  readonly more: boolean;
  /** None of a row that only explains others. */
  readonly goal?: Goal;
  /** Whether `--quick` measures it. */
  readonly quick?: boolean;
  /** How often it is measured where one measurement says it all. */
  readonly rounds?: 1;
}

/** A row that every registry has. */
export interface RegistryRow extends Row {
  readonly store: 'folder' | 's3';
  /** The registries run on one core and the client on another. */
  readonly oneCore?: boolean;
  /** Worker processes of this registry; its default unless given. */
  readonly workers?: number;
  /** The storage is in memory where that has room, for very many small files. */
  readonly inMemory?: boolean;
  /** A proxy counts the requests to the bucket. */
  readonly counted?: boolean;
  /** Whether distribution with its cache is shown beside, and whether it is then one of those to be reached. */
  readonly cached?: 'beside' | 'counts';
  /** Whether only this registry is measured. */
  readonly alone?: boolean;
  /** Prepares a registry, which has just started on nothing. */
  readonly prepare: (registry: Running, sizes: Sizes) => Promise<Measure>;
}

/** A row that is of this project alone, and needs no server of it. */
export interface OwnRow extends Row {
  readonly measure: (context: OwnContext) => Promise<Sample>;
}

export interface OwnContext {
  /** The folder of the checkout that is measured. */
  readonly checkout: string;
  readonly sizes: Sizes;
  readonly generator: Generator;
}

export function isOwnRow(row: RegistryRow | OwnRow): row is OwnRow {
  return 'measure' in row;
}
