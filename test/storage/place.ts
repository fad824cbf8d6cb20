import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Listing, ListOptions, ObjectStore, StoreError } from '../../lib/storage/store.ts';

/** Opens another store object on the same place, which its test makes before and removes after. */
export type OpenStore = () => Promise<{ store: ObjectStore; close(): Promise<void> }>;

export interface ContractOptions {
  /** Whether metadata are always kept; a hint otherwise. */
  readonly metadata?: boolean;
  /** How many listings the property test asks for. */
  readonly runs?: number;
  /** How long listings may lag behind writes, in milliseconds. */
  readonly lag?: number;
  /** Whether a full page that ends with a rolled-up prefix tells whether more follows. */
  readonly exactEnds?: boolean;
  /** Whether exactly one of several writers at once creates an object, where the store honours that condition. */
  readonly exactCreation?: boolean;
}

/** A place under test, seen through two stores as two processes would see it. */
export interface Place {
  readonly store: ObjectStore;
  readonly other: ObjectStore;
  readonly options: Required<ContractOptions>;
  /** An unshared folder, with its slash. */
  fresh(): string;
  /** Lists until it holds, as a listing may lag behind. */
  listed(options: ListOptions, holds: (listing: Listing) => boolean): Promise<Listing>;
}

/** Opens a place for the tests of a `describe`, and closes it after them. */
export function usePlace(open: OpenStore, options: ContractOptions): Place {
  const opened: Awaited<ReturnType<OpenStore>>[] = [];
  const storeAt = (index: number): ObjectStore => opened[index]?.store ?? assert.fail('not open yet');
  const { metadata = false, runs = 100, lag = 10_000, exactEnds = true, exactCreation = true } = options;
  before(async () => {
    opened.push(await open(), await open());
  });
  after(async () => {
    for (const each of opened.splice(0)) await each.close();
  });
  return {
    get store() {
      return storeAt(0);
    },
    get other() {
      return storeAt(1);
    },
    options: { metadata, runs, lag, exactEnds, exactCreation },
    fresh: () => `contract/${randomUUID()}/`,
    listed: (query, holds) => poll(async () => await storeAt(0).list(query), holds, lag),
  };
}

/** Asks until the answer holds or time is up; the caller asserts on the last answer. */
export async function poll<T>(
  ask: () => Promise<T>,
  holds: (answer: T) => boolean,
  patience: number,
): Promise<T> {
  const end = Date.now() + patience;
  for (;;) {
    const answer = await ask();
    if (holds(answer) || Date.now() > end) return answer;
    await sleep(50);
  }
}

type ErrorType = new (key: string, ...rest: never[]) => StoreError;

/** Asserts that it fails with this very error, which names the key where one is given. */
export async function rejects(promise: Promise<unknown>, Type: ErrorType, key?: string): Promise<void> {
  await assert.rejects(promise, (error: unknown) => {
    assert.ok(error instanceof Type, `${String(error)} is no ${Type.name}`);
    assert.equal(error.name, Type.name);
    if (key !== undefined) assert.equal(error.key, key);
    return true;
  });
}
