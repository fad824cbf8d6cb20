import { randomBytes } from 'node:crypto';
import { digestOrUndefined, type Digest } from '../../protocol/digests.ts';
import { plansPrefix } from '../../registry/layout.ts';
import { listObjects } from '../../registry/list-objects.ts';
import { removeObjects } from '../../registry/remove-objects.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { readWithHash, withHash } from './hashed-text.ts';

/*
 * What a second look found is to be deleted, in parts, each of which is deleted in one step. It is in the bucket, so that another
 * process can go on. Nothing rests on it but that it comes from a second look: each batch is checked again.
 */

/** In the order in which they are deleted, so that no manifest is left whose children or blobs are gone. */
export const phases = ['tags', 'manifests', 'children', 'grandchildren', 'blobs'] as const;

export type DeletionPhase = (typeof phases)[number];

/** Keys that go together, or stay because of a rescue. */
export interface PlannedDeletion {
  readonly digest: Digest;
  /** Other digests whose rescue keeps them. */
  readonly about?: readonly Digest[];
  readonly keys: readonly string[];
  /** The size of the bytes, if they go as well. */
  readonly bytes?: number | undefined;
}

/** What the second look left of what was condemned, in blobs and manifests whose bytes were to go. */
export interface LeftBySecondLook {
  /** Something needs them again. */
  readonly needed: number;
  /** They were pushed or mounted since. */
  readonly renewed: number;
  /** A repository that has them is damaged. */
  readonly held: number;
}

/** Digests, and bytes of text, of a part. */
const maxDigests = 2000;
const maxPartSize = 4 * 1024 * 1024;

/** Writes a plan while a second look goes on. In memory is a part for each phase. */
export class PlanWriter {
  readonly #store: ObjectStore;
  #prefix: string;
  readonly #parts = phases.map(() => ({ lines: [] as string[], size: 0, number: 0 }));

  constructor(store: ObjectStore, mark: string) {
    this.#store = store;
    this.#prefix = `${plansPrefix(mark)}${randomBytes(6).toString('hex')}/`;
  }

  /** Those of a phase come in the order of digests. */
  add(phase: DeletionPhase, deletion: PlannedDeletion): Promise<void> | undefined {
    const at = phases.indexOf(phase);
    const part = this.#parts[at];
    if (part === undefined) return undefined;
    const line = lineOf(deletion);
    part.lines.push(line);
    part.size += line.length;
    return part.lines.length < maxDigests && part.size < maxPartSize ? undefined : this.#flush(at);
  }

  /** Writes what is in memory. @returns what another process needs to go on */
  async save(): Promise<SavedPlan> {
    for (const at of phases.keys()) await this.#flush(at);
    return { prefix: this.#prefix, numbers: this.#parts.map(({ number }) => number) };
  }

  restore({ prefix, numbers }: SavedPlan): void {
    this.#prefix = prefix;
    for (const [at, part] of this.#parts.entries()) part.number = numbers[at] ?? 0;
  }

  /** Makes the plan count. */
  async finish(left: LeftBySecondLook): Promise<void> {
    await this.save();
    await this.#store.put(`${this.#prefix}${complete}`, withHash(JSON.stringify({ version: 1, left })));
  }

  async #flush(at: number): Promise<void> {
    const part = this.#parts[at];
    if (part === undefined || part.lines.length === 0) return;
    const key = `${this.#prefix}${at}-${String(part.number).padStart(6, '0')}`;
    await this.#store.put(key, withHash(part.lines.join('')));
    part.number += 1;
    part.lines = [];
    part.size = 0;
  }
}

export interface SavedPlan {
  readonly prefix: string;
  /** The number of the next part of each phase. */
  readonly numbers: readonly number[];
}

/** A plan that is complete. */
export interface Plan {
  readonly prefix: string;
  readonly left: LeftBySecondLook;
  /** The keys of the parts that were not deleted yet, in order. */
  readonly parts: readonly string[];
}

/** Its name comes after those of parts. */
const complete = 'complete';

/** The first plan under a mark that is complete; undefined if a second look is needed. */
export async function findPlan(store: ObjectStore, mark: string): Promise<Plan | undefined> {
  let prefix = '';
  let parts: string[] = [];
  for await (const { key } of listObjects(store, plansPrefix(mark))) {
    const name = key.slice(key.lastIndexOf('/') + 1);
    const folder = key.slice(0, -name.length);
    if (folder !== prefix) [prefix, parts] = [folder, []];
    if (name !== complete) {
      parts.push(key);
      continue;
    }
    const text = await readWithHash(store, key);
    if (text === undefined) continue;
    const { left } = JSON.parse(text) as { left: LeftBySecondLook };
    return { prefix, left, parts };
  }
  return undefined;
}

/** @returns undefined if it is gone or damaged */
export async function readPart(
  store: ObjectStore,
  key: string,
): Promise<readonly PlannedDeletion[] | undefined> {
  const text = await readWithHash(store, key);
  return text?.split('\n').flatMap((line) => parseLine(line) ?? []);
}

/** Another second look makes another plan. */
export async function discardPlan(store: ObjectStore, { prefix }: Plan): Promise<void> {
  await store.delete([`${prefix}${complete}`]);
  await removeObjects(store, prefix);
}

/** No key has a space. */
function lineOf({ digest, about, bytes, keys }: PlannedDeletion): string {
  return `${[digest, formatAbout(about), bytes ?? '-', ...keys].join(' ')}\n`;
}

function parseLine(line: string): PlannedDeletion | undefined {
  const [text, about, bytes, ...keys] = line.split(' ');
  const digest = digestOrUndefined(text);
  if (digest === undefined) return undefined;
  return { digest, about: parseAbout(about), bytes: bytes === '-' ? undefined : Number(bytes), keys };
}

/** {@link PlannedDeletion.about} as a word. */
export function formatAbout(about: PlannedDeletion['about'] = []): string {
  return about.length === 0 ? '-' : about.join(',');
}

export function parseAbout(text = ''): readonly Digest[] {
  return text.split(',').flatMap((digest) => digestOrUndefined(digest) ?? []);
}
