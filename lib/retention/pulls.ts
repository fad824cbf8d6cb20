import { countsPulls, type RetentionRule } from '../access/policy/storage-rules.ts';
import { inParallel } from '../concurrency/in-parallel.ts';
import type { Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Reference } from '../protocol/references.ts';
import type { Tag } from '../protocol/tags.ts';
import { pullRecord, pullsPrefix, pullsSince } from '../registry/layout.ts';
import { listObjects } from '../registry/list-objects.ts';
import { undefinedIfMissing } from '../registry/links.ts';
import type { ObjectStore } from '../storage/store.ts';
import { fingerprintsOf } from './fingerprints.ts';

/** A record is written at most so often, in milliseconds: the last pull may be later by that. */
export const recordedEveryMs = 24 * 3_600_000;

/** When tags and manifests of a repository were pulled. */
export class Pulls {
  readonly #name: RepositoryName;
  /** By key. */
  readonly #at: ReadonlyMap<string, Date>;

  private constructor(name: RepositoryName, at: ReadonlyMap<string, Date>) {
    this.#name = name;
    this.#at = at;
  }

  static async read(store: ObjectStore, name: RepositoryName): Promise<Pulls> {
    const at = new Map<string, Date>();
    for await (const { key, lastModified } of listObjects(store, pullsPrefix(name)))
      at.set(key, lastModified);
    return new Pulls(name, at);
  }

  /** The last record of a pull of a tag, or of the manifest that it points at. */
  last(tag: Tag, digest: Digest | undefined): Date | undefined {
    const times = [this.of({ kind: 'tag', tag }), digest && this.of({ kind: 'digest', digest })];
    return times.filter((time) => time !== undefined).sort((a, b) => b.getTime() - a.getTime())[0];
  }

  /** The last record of a pull by this reference. */
  of(reference: Reference): Date | undefined {
    return this.#at.get(pullRecord(this.#name, reference));
  }
}

/** Where it is noted from when on pulls are recorded, for each rule that asks for them. */
export function pullNotesOf(rules: readonly RetentionRule[]): ReadonlyMap<RetentionRule, string> {
  const asking = rules.filter(countsPulls);
  // Most registries have no such rule, and this is asked at pulls.
  if (asking.length === 0) return new Map();
  const fingerprints = fingerprintsOf(rules);
  return new Map(asking.map((rule) => [rule, pullsSince(fingerprints.get(rule)?.scope ?? '')]));
}

/** Forgets from when on pulls were recorded for rules that are no longer there: from now on they are not. */
export async function forgetOtherRules(store: ObjectStore, rules: readonly RetentionRule[]): Promise<void> {
  const keys = new Set(pullNotesOf(rules).values());
  const others: string[] = [];
  for await (const { key } of listObjects(store, pullsSince(''))) if (!keys.has(key)) others.push(key);
  if (others.length > 0) await store.delete(others);
}

/**
 * From when on pulls are recorded for each rule that asks for them, as the processes that serve pulls have noted. Rules without such a
 * note are left out.
 */
export async function pullsRecordedSince(
  store: ObjectStore,
  rules: readonly RetentionRule[],
): Promise<ReadonlyMap<RetentionRule, Date>> {
  const since = await inParallel([...pullNotesOf(rules)], 16, async ([rule, key]) => {
    const note = await undefinedIfMissing(store.head(key));
    return note === undefined ? [] : [[rule, note.lastModified] as const];
  });
  return new Map(since.flat());
}
