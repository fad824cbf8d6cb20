import type { RepositoryName } from '../../protocol/names.ts';
import { repositoriesPrefix, repositoryPrefix } from '../../registry/layout.ts';
import { listObjects } from '../../registry/list-objects.ts';
import { parseRepositoryKey } from '../../registry/repository-keys.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { blobsOf, danglingHints, hashBlobs, listedBlobs } from './blobs.ts';
import { unreadable, type Finding } from './findings.ts';
import { Inspection, type VerifyOptions } from './inspection.ts';
import type { Listed } from './listed.ts';
import { RepositoryCheck } from './repository.ts';
import { SortedDigests } from './sorted-digests.ts';
import { damagedUploads } from './uploads.ts';

/** Unreadable objects and folders that are reported once each. */
const maxUnreadable = 10_000;

/**
 * Reads a bucket as an auditor, and reports what is wrong in it. Changes nothing, and may run while clients push and delete: what seems
 * wrong is looked at again before it is reported. What is deleted while it runs may be missed.
 *
 * 1. All blobs are listed, and hashed as the sample says. Their sizes are kept, so that nobody need ask for them later.
 * 2. All repositories are listed. Each manifest is read; its blobs, children and tags, and the entries of referrers, are checked
 *    against the lists.
 * 3. Upload sessions are read.
 *
 * Of named repositories, the first step takes the blobs they have links to, and there is no third.
 *
 * The memory does not grow with the bucket: see {@link SortedDigests}.
 * @throws StoreUnavailable if the bucket fails
 */
export async function* verify(
  store: ObjectStore,
  options: VerifyOptions = {},
): AsyncGenerator<Finding, void> {
  const skipped = new SkippedObjects(store);
  try {
    for await (const finding of steps(new Inspection(store, options))) {
      yield* skipped.take();
      yield finding;
    }
    yield* skipped.take();
  } finally {
    skipped.stop();
  }
}

async function* steps(inspection: Inspection): AsyncGenerator<Finding, void> {
  const { prefix, repositories = [], sample } = inspection.options;
  if (repositories.length === 0) yield* hashBlobs(inspection, listedBlobs(inspection));
  else if (sample?.kind !== 'none') yield* hashBlobs(inspection, blobsOf(inspection, repositories));
  if (prefix !== undefined) return;
  const prefixes = repositories.length === 0 ? [repositoriesPrefix] : repositories.map(repositoryPrefix);
  const listed: Listed = { layers: new SortedDigests(), revisions: new SortedDigests() };
  for (const one of prefixes) yield* checkRepositories(inspection, one, listed);
  yield* inspection.damagedBlobs();
  if (repositories.length > 0) return;
  yield* danglingHints(inspection);
  yield* damagedUploads(inspection);
}

/** Checks the repositories of a listing. The keys of each follow one another. */
async function* checkRepositories(
  inspection: Inspection,
  prefix: string,
  listed: Listed,
): AsyncGenerator<Finding, void> {
  let check: RepositoryCheck | undefined;
  for await (const object of listObjects(inspection.store, prefix, { skipUnreadable: true })) {
    const key = parseRepositoryKey(object.key);
    if (key === undefined) continue;
    if (check?.name !== key.name) {
      if (check !== undefined) yield* check.end();
      check = new RepositoryCheck(inspection, key.name, listed);
    }
    yield* check.add({ ...key, object });
  }
  if (check !== undefined) yield* check.end();
}

/** The repositories of a list that have no object at all. */
export async function unknownRepositories(
  store: ObjectStore,
  names: readonly RepositoryName[],
): Promise<readonly RepositoryName[]> {
  const unknown: RepositoryName[] = [];
  for (const name of names) {
    const { objects } = await store.list({ prefix: repositoryPrefix(name), limit: 1, skipUnreadable: true });
    if (objects.length === 0) unknown.push(name);
  }
  return unknown;
}

/** What listings skip because it cannot be read. */
class SkippedObjects {
  readonly #store: ObjectStore;
  readonly #before: ObjectStore['onDamaged'];
  readonly #seen = new Set<string>();
  #findings: Finding[] = [];

  constructor(store: ObjectStore) {
    this.#store = store;
    this.#before = store.onDamaged;
    store.onDamaged = (key, error) => {
      if (this.#seen.has(key) || this.#seen.size >= maxUnreadable) return;
      this.#seen.add(key);
      this.#findings.push(unreadable(key, error));
    };
  }

  take(): Finding[] {
    const findings = this.#findings;
    this.#findings = [];
    return findings;
  }

  stop(): void {
    this.#store.onDamaged = this.#before ?? (() => undefined);
  }
}
