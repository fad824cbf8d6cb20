import { setTimeout as delay } from 'node:timers/promises';
import { mapConcurrently } from '../../concurrency/map-concurrently.ts';
import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { blobData } from '../../registry/layout.ts';
import type { MountHints } from '../../registry/mount-hints.ts';
import { undefinedIfMissing } from '../../registry/links.ts';
import { maxStoredSize } from '../../registry/manifests/cache.ts';
import type { RequiredPlatforms } from '../../registry/manifests/required-platforms.ts';
import { ObjectUnreadable, type ObjectInfo, type ObjectStore } from '../../storage/store.ts';
import { storeTimeMs } from '../../storage/store-time.ts';
import { unreadable, type Finding } from './findings.ts';
import { SortedDigests } from './sorted-digests.ts';

/** Concurrent looks at single objects. */
export const parallelLooks = 16;

/** Damaged blobs that are remembered. Others may be reported a second time, as manifests. */
const maxDamaged = 100_000;

export interface VerifyOptions {
  /** Empty for all. */
  readonly repositories?: readonly RepositoryName[];
  /** Which blobs are hashed; default all. */
  readonly sample?: Sample;
  /** Only blobs whose hexadecimal digest begins so, and nothing else. */
  readonly prefix?: string;
  /** Which entries of an index must exist. */
  readonly requiredPlatforms?: RequiredPlatforms;
  /** Whether a repository is a cache of another registry's: it need not have all that its manifests name. */
  readonly isCache?: (name: RepositoryName) => boolean;
  /** Checks the mount hints of all blobs, if given. */
  readonly mountHints?: MountHints;
  /**
   * Milliseconds that an object must have been there before something that it names counts as missing. A push may take as long
   * between two of its writes.
   */
  readonly settleMs?: number;
  readonly counts?: VerifyCounts;
  /** How to wait so many milliseconds; by default, with a timer. */
  readonly wait?: (milliseconds: number) => Promise<unknown>;
}

/** Blobs to hash: all, none, a share from 0 to 1 of them, or a number of them; each by chance. */
export type Sample =
  | { readonly kind: 'all' }
  | { readonly kind: 'none' }
  | { readonly kind: 'share'; readonly share: number }
  | { readonly kind: 'number'; readonly number: number };

/** What has been looked at so far. */
export class VerifyCounts {
  blobs = 0;
  hashed = 0;
  /** Of the blobs that were hashed. */
  bytes = 0;
  repositories = 0;
  manifests = 0;
  tags = 0;
  referrers = 0;
  uploads = 0;
}

/** Looks at a bucket again, and past all lists. @returns undefined if nothing is wrong (any more) */
export type Look = () => Promise<Finding | undefined>;

/** Something that seems wrong. */
export interface Suspect {
  readonly look: Look;
  /** The object that names what seems to be missing. */
  readonly named: Pick<ObjectInfo, 'key' | 'lastModified'>;
}

/** What the steps of one verification share. */
export class Inspection {
  readonly store: ObjectStore;
  readonly options: VerifyOptions;
  readonly counts: VerifyCounts;
  /** The sizes of all blobs, from a listing. */
  readonly #blobs = new SortedDigests();
  /** Blobs with wrong bytes, each with its finding unless that is reported. */
  readonly #damaged = new Map<Digest, Finding | undefined>();
  readonly #settleMs: number;

  constructor(store: ObjectStore, options: VerifyOptions) {
    this.store = store;
    this.options = options;
    this.counts = options.counts ?? new VerifyCounts();
    this.#settleMs = options.settleMs ?? 60_000;
  }

  /** Notes a blob that a listing has. */
  sawBlob(digest: Digest, size: number): void {
    this.#blobs.append(digest, size);
  }

  /** The size of a blob's bytes; undefined if there are none. The bucket is asked for what no listing had. */
  async blobSize(digest: Digest): Promise<number | undefined> {
    return this.#blobs.get(digest) ?? (await this.askBlobSize(digest));
  }

  /** The same, as the bucket says now. */
  async askBlobSize(digest: Digest): Promise<number | undefined> {
    return (await undefinedIfMissing(this.store.head(blobData(digest))))?.size;
  }

  /**
   * Notes a blob with wrong bytes. One that is small enough for a manifest is reported once it is known not to be one.
   * @returns what to report now
   */
  sawDamaged(digest: Digest, size: number, finding: Finding): Finding | undefined {
    const mayBeManifest = size <= maxStoredSize && this.options.prefix === undefined;
    if (this.#damaged.size >= maxDamaged) return finding;
    this.#damaged.set(digest, mayBeManifest ? finding : undefined);
    return mayBeManifest ? undefined : finding;
  }

  /** Whether a blob is known to have wrong bytes. */
  isDamaged(digest: Digest): boolean {
    return this.#damaged.has(digest);
  }

  /** A damaged blob is reported as a manifest. */
  isManifest(digest: Digest): void {
    if (this.#damaged.has(digest)) this.#damaged.set(digest, undefined);
  }

  /** The damaged blobs that turned out to be no manifests. */
  damagedBlobs(): Finding[] {
    return [...this.#damaged.values()].filter((finding) => finding !== undefined);
  }

  /**
   * Looks again at what seems wrong. What a young object names may be on its way: the push that wrote it gets time for its other
   * writes.
   */
  async *confirm(suspects: readonly Suspect[]): AsyncGenerator<Finding, void> {
    const young: Suspect[] = [];
    for await (const { suspect, finding } of this.#look(suspects))
      if (finding !== undefined)
        if (this.#youthMs(suspect) > 0) young.push(suspect);
        else yield finding;
    if (young.length === 0) return;
    const { wait = delay } = this.options;
    await wait(Math.max(...young.map((suspect) => this.#youthMs(suspect))));
    for await (const { finding } of this.#look(young)) if (finding !== undefined) yield finding;
  }

  #look(suspects: readonly Suspect[]) {
    return mapConcurrently(suspects, parallelLooks, async (suspect) => ({
      suspect,
      finding: await lookAt(suspect.named.key, suspect.look),
    }));
  }

  /** Milliseconds until it is old enough. By the clock that dates objects. */
  #youthMs({ named }: Suspect): number {
    const now = storeTimeMs(this.store);
    return named.lastModified.getTime() + this.#settleMs - now;
  }
}

/** The finding of a look, also if a single object cannot be read. */
export async function lookAt(key: string, look: Look): Promise<Finding | undefined> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof ObjectUnreadable)) throw error;
    return unreadable(error.key === '' ? key : error.key, error);
  }
}

/** The suspects that some work finds; one that looks again if an object cannot be read. */
export async function unlessUnreadable(
  named: Suspect['named'],
  work: () => Promise<Suspect[]>,
): Promise<Suspect[]> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ObjectUnreadable)) throw error;
    const look = async () => {
      await work();
      return undefined;
    };
    return [{ named, look }];
  }
}
