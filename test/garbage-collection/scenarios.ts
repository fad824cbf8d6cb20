import type { Scenario } from './model.ts';

/** A client that finds the blob by HEAD, beside a collector that works on one mark. */
export const smallest: Scenario = {
  writers: ['repush'],
  collectors: 1,
  marks: 1,
  rounds: 1,
  deletes: 1,
  unlinks: 0,
};

/** Explored by each run of the tests. */
export const explored: readonly Scenario[] = [
  { ...smallest, writers: ['push', 'repush', 'mount'] },
  { ...smallest, writers: ['push', 'recall'], deletes: 2, unlinks: 1 },
  { ...smallest, writers: ['repush', 'mount'], unlinks: 1, fromB: true },
  { ...smallest, writers: ['push', 'repush'], marks: 2, rounds: 2 },
  { ...smallest, writers: ['repush', 'mount'], marks: 2, rounds: 2 },
  { ...smallest, writers: ['push'], collectors: 2 },
  { ...smallest, writers: ['mount'], collectors: 2 },
  { ...smallest, writers: ['repush'], collectors: 2, marks: 2, rounds: 2 },
];

/** Explored by `npm run explore`. */
export const larger: readonly Scenario[] = [
  { ...smallest, writers: ['push', 'repush'], collectors: 2, deletes: 2 },
  { ...smallest, writers: ['push'], collectors: 2, marks: 2, rounds: 2 },
  { ...smallest, writers: ['mount'], collectors: 2, marks: 2, rounds: 2 },
  { ...smallest, writers: ['push', 'repush', 'mount'], marks: 2, rounds: 2 },
  { ...smallest, writers: ['push', 'repush', 'mount'], collectors: 2 },
];

/** Such as "push, mount | 2 | 1": writers, collectors, marks. */
export function rowOf({ writers, collectors, marks }: Scenario): string {
  return `${writers.join(', ')} | ${collectors} | ${marks}`;
}
