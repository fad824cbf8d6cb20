import type { Value } from './template.ts';

/** What an alarm watches: a sum, or the largest value, of five minutes. */
export interface Watched {
  readonly description: string;
  readonly namespace: string;
  readonly metric: string;
  readonly dimensions: Readonly<Record<string, Value>>;
  readonly statistic: 'Sum' | 'Maximum';
  /** The least value that is an alarm, or the least one that is none. */
  readonly atLeast?: number;
  readonly below?: number;
  /** Whether it is an alarm as well if there are no values. */
  readonly isMissingBad?: boolean;
  /** The logical id of what has values once it is made. */
  readonly dependsOn?: string;
}
