import { createHash } from 'node:crypto';
import { mapConcurrently } from '../../concurrency/map-concurrently.ts';
import { digestFrom, digestParts, type Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import {
  blobData,
  blobsPrefix,
  layerLink,
  parseBlobData,
  repositoryPrefix,
  revisionLink,
} from '../../registry/layout.ts';
import { exists, undefinedIfMissing } from '../../registry/links.ts';
import { listObjects } from '../../registry/list-objects.ts';
import { parseRepositoryKey } from '../../registry/repository-keys.ts';
import { ObjectNotFound, type ObjectStore } from '../../storage/store.ts';
import { damagedBlob, danglingMountHint, type Finding } from './findings.ts';
import { lookAt, type Inspection, type Sample } from './inspection.ts';

/** Blobs that are hashed at the same time. One processor hashes one to two GB a second. */
const parallelHashes = 8;

/** Digests of named repositories that are not hashed again for another one. */
const maxRemembered = 100_000;

/** Hashes blobs, as many as the sample wants. */
export async function* hashBlobs(
  inspection: Inspection,
  digests: AsyncIterable<Digest>,
): AsyncGenerator<Finding, void> {
  const sampled = sample(digests, inspection.options.sample ?? { kind: 'all' });
  yield* findings(sampled, async (digest) => await hashBlob(inspection, digest));
}

/** All blobs, or those of a prefix, from a listing of the bucket. */
export async function* listedBlobs(inspection: Inspection): AsyncGenerator<Digest, void> {
  const { store, counts, options } = inspection;
  for await (const { digest, size } of blobsBelow(store, prefixes(options.prefix))) {
    counts.blobs += 1;
    inspection.sawBlob(digest, size);
    yield digest;
  }
}

/** The blobs of some repositories, each once. */
export async function* blobsOf(
  { store, counts }: Inspection,
  names: readonly RepositoryName[],
): AsyncGenerator<Digest, void> {
  const seen = new Set<Digest>();
  for (const name of names)
    for await (const { key } of listObjects(store, `${repositoryPrefix(name)}layers/`, {
      skipUnreadable: true,
    })) {
      const parsed = parseRepositoryKey(key);
      if (parsed?.kind !== 'layer' || seen.has(parsed.digest)) continue;
      if (seen.size < maxRemembered) seen.add(parsed.digest);
      counts.blobs += 1;
      yield parsed.digest;
    }
}

/** The blobs whose mount hint leads nowhere. A manifest has one as well, since it may also be pulled as a blob. */
export async function* danglingHints({ store, options }: Inspection): AsyncGenerator<Finding, void> {
  const { mountHints } = options;
  if (mountHints === undefined) return;
  const blobs = digestsOf(blobsBelow(store, prefixes(undefined)));
  yield* findings(blobs, async (digest) => {
    const head = await undefinedIfMissing(store.head(blobData(digest), { metadata: true }));
    const from = head && mountHints.read(head.metadata);
    if (from === undefined) return undefined;
    const links = [layerLink(from, digest), revisionLink(from, digest)];
    const found = await Promise.all(links.map(async (link) => await exists(store, link)));
    return found.includes(true) ? undefined : danglingMountHint(digest, from);
  });
}

async function* findings(
  digests: AsyncIterable<Digest>,
  look: (digest: Digest) => Promise<Finding | undefined>,
): AsyncGenerator<Finding, void> {
  const work = async (digest: Digest) => await lookAt(blobData(digest), async () => await look(digest));
  for await (const finding of mapConcurrently(digests, parallelHashes, work))
    if (finding !== undefined) yield finding;
}

/** Hashes a blob, a second time if it is damaged: what was wrong may have been the transfer. */
async function hashBlob(inspection: Inspection, digest: Digest): Promise<Finding | undefined> {
  const { store, counts } = inspection;
  const first = await hashOf(store, digest);
  // Deleted since it was listed. Whether something needs it, others ask.
  if (first === undefined) return undefined;
  counts.hashed += 1;
  counts.bytes += first.size;
  if (first.digest === digest) return undefined;
  const again = await hashOf(store, digest);
  if (again === undefined || again.digest === digest) return undefined;
  return inspection.sawDamaged(digest, again.size, damagedBlob(digest, again.digest));
}

async function hashOf(
  store: ObjectStore,
  digest: Digest,
): Promise<{ readonly digest: Digest; readonly size: number } | undefined> {
  const { algorithm } = digestParts(digest);
  const hash = createHash(algorithm);
  try {
    const { body, size } = await store.open(blobData(digest));
    for await (const piece of body as AsyncIterable<Buffer>) hash.update(piece);
    return { digest: digestFrom(algorithm, hash.digest('hex')), size };
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined;
    throw error;
  }
}

/** The digests to hash. All of them are asked for, whatever the sample. */
async function* sample(digests: AsyncIterable<Digest>, wanted: Sample): AsyncGenerator<Digest, void> {
  if (wanted.kind === 'number') {
    yield* await someOf(digests, wanted.number);
    return;
  }
  const share = wanted.kind === 'all' ? 1 : wanted.kind === 'none' ? 0 : wanted.share;
  for await (const digest of digests) if (Math.random() < share) yield digest;
}

/** So many of a list of unknown length, each with the same chance (reservoir sampling). */
async function someOf(digests: AsyncIterable<Digest>, number: number): Promise<Digest[]> {
  const chosen: Digest[] = [];
  let seen = 0;
  for await (const digest of digests) {
    seen += 1;
    if (chosen.length < number) {
      chosen.push(digest);
      continue;
    }
    const at = Math.floor(Math.random() * seen);
    if (at < number) chosen[at] = digest;
  }
  return chosen;
}

/** What blobs begin with whose hexadecimal digest begins so. */
function prefixes(hex: string | undefined): string[] {
  if (hex === undefined) return [blobsPrefix];
  const folders = hex.length <= 2 ? hex : `${hex.slice(0, 2)}/${hex}`;
  return ['sha256', 'sha512'].map((algorithm) => `${blobsPrefix}${algorithm}/${folders}`);
}

async function* blobsBelow(store: ObjectStore, below: readonly string[]) {
  for (const prefix of below)
    for await (const { key, size } of listObjects(store, prefix, { skipUnreadable: true })) {
      const digest = parseBlobData(key);
      if (digest !== undefined) yield { digest, size };
    }
}

async function* digestsOf(blobs: AsyncIterable<{ readonly digest: Digest }>): AsyncGenerator<Digest, void> {
  for await (const { digest } of blobs) yield digest;
}
