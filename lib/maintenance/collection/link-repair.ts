import { inParallel } from '../../concurrency/in-parallel.ts';
import type { Digest } from '../../protocol/digests.ts';
import { RegistryError } from '../../protocol/errors.ts';
import type { ObjectStore } from '../../storage/store.ts';
import {
  listRecords,
  parseLink,
  readRecord,
  rewriteRecord,
  type LinkRecord,
  type RecordedLink,
} from './link-records.ts';
import { beganOf } from './marks.ts';
import { listRepository } from './listed-repository.ts';
import { neededSince } from './needed-since.ts';
import { writeMissingLink } from '../verify/write-link.ts';

/** Characters of records from which on no more are read in one step. */
const stepSize = 4 * 1024 * 1024;

/** Repositories that are looked at at the same time. */
const parallelRepositories = 8;

/** What became of links. */
interface Looked {
  /** Those that are there, or were written again. */
  readonly present: ReadonlySet<string>;
  /** Those that a deletion under way may still take. */
  readonly pending: ReadonlySet<string>;
}

export interface LinkRepairOptions {
  /** The ids of the marks that are there. */
  readonly marks: ReadonlySet<string>;
  readonly now: Date;
  /** Whether nothing else writes to the storage, so that no record is needed any more once it was followed. */
  readonly exclusive: boolean;
}

/**
 * Writes deleted links again that are on record and that something needs which came through another registry
 * (docs/garbage-collection.md, "Beside distribution").
 */
export class LinkRepair {
  /** Links that were written again. */
  written = 0;
  readonly #store: ObjectStore;
  readonly #options: LinkRepairOptions;
  #records: LinkRecord[] | undefined;

  constructor(store: ObjectStore, options: LinkRepairOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** Follows some records. @returns whether there are more */
  async step(): Promise<boolean> {
    this.#records ??= await listRecords(this.#store, this.#options.now);
    const read: { record: LinkRecord; links: readonly string[] }[] = [];
    const repositories = new Map<string, Map<string, RecordedLink>>();
    let since = Infinity;
    for (let size = 0; size < stepSize && this.#records.length > 0;) {
      const record = this.#records.shift();
      if (record === undefined) break;
      const links = await readRecord(this.#store, record);
      read.push({ record, links });
      since = Math.min(since, beganOf(record.mark));
      for (const key of links) {
        size += key.length;
        const link = parseLink(key);
        if (link !== undefined) at(repositories, link.name).set(key, link);
      }
    }
    const looked = await inParallel(
      [...repositories],
      parallelRepositories,
      async ([name, links]) => await this.#repair(name, links, since),
    );
    const present = new Set(looked.flatMap((one) => [...one.present]));
    const pending = new Set(looked.flatMap((one) => [...one.pending]));
    for (const { record, links } of read) await this.#shorten(record, links, { present, pending });
    return this.#records.length > 0;
  }

  async #repair(name: string, links: ReadonlyMap<string, RecordedLink>, since: number): Promise<Looked> {
    const store = this.#store;
    const { listed, keys } = await listRepository(store, name);
    const present = new Set([...links.keys()].filter((key) => keys.has(key)));
    const pending = new Set<string>();
    const missing = [...links].filter(([key]) => !keys.has(key));
    if (missing.length === 0) return { present, pending };
    const manifests = missing.flatMap(([, { kind, digest }]) => (kind === 'revision' ? [digest] : []));
    const byDigest = Map.groupBy(missing, ([, { digest }]) => digest);
    // What a manifest needs comes before it.
    for (const digest of await neededSince(store, listed, since, new Set(manifests)))
      for (const [key] of byDigest.get(digest) ?? []) {
        const result = await writeAgain(store, key, digest);
        if (result === 'written') {
          present.add(key);
          this.written += 1;
        } else if (result === 'pending') pending.add(key);
      }
    return { present, pending };
  }

  /**
   * Removes from a record what nobody will ask for. A link that is there, though its deletion can land no more, is taken by nobody but
   * somebody who wants that.
   */
  async #shorten(record: LinkRecord, links: readonly string[], { present, pending }: Looked): Promise<void> {
    const { marks, exclusive } = this.#options;
    if (marks.has(record.mark)) return;
    const left = links.filter((key) => pending.has(key) || (!exclusive && !present.has(key)));
    if (left.length < links.length) await rewriteRecord(this.#store, record, left);
  }
}

/** @returns `pending` if a deletion is under way that takes too long to wait for */
async function writeAgain(
  store: ObjectStore,
  key: string,
  digest: Digest,
): Promise<'written' | 'gone' | 'pending'> {
  try {
    return (await writeMissingLink(store, key, digest)) ? 'written' : 'gone';
  } catch (error) {
    if (error instanceof RegistryError && error.failure === 'UNAVAILABLE') return 'pending';
    throw error;
  }
}

function at(repositories: Map<string, Map<string, RecordedLink>>, name: string): Map<string, RecordedLink> {
  const links = repositories.get(name) ?? new Map<string, RecordedLink>();
  repositories.set(name, links);
  return links;
}
