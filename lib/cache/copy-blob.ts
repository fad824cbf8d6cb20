import { digestParts, type Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import { OffsetMismatch, type Registry } from '../registry/interface.ts';
import { UpstreamError } from '../upstream/upstream.ts';
import type { BucketClaim, BucketClaims } from './bucket-claims.ts';
import { BlobPieces } from './blob-pieces.ts';
import { assertSize, isWrong } from './bytes-of-upstream.ts';
import { undefinedIfUnknown } from './errors.ts';
import type { WantedBlob } from './function-blobs.ts';
import { keepingRate } from './minimum-rate.ts';
import type { Source, Sources } from './sources.ts';
import type { UpstreamRequests } from './upstream-requests.ts';

/** Bytes after which what has come is saved, so that another process can go on. */
const savedBytes = 32 * 1024 * 1024;

/** For how long nobody tries again, in milliseconds: after wrong bytes, and after another failure of the upstream. */
const wrongMs = 5 * 60_000;
const failedMs = 30_000;

export interface CopyBlobOptions {
  /** Unrestricted and without events: what is cached is no push. */
  readonly registry: Pick<Registry, 'blobs' | 'uploads'>;
  readonly requests: UpstreamRequests;
  readonly sources: Pick<Sources, 'isBeside'>;
  readonly claims: Pick<BucketClaims, 'take'>;
  /** Bytes after which what has come is saved. */
  readonly savedBytes?: number;
}

export type CopyResult =
  | { readonly kind: 'stored' }
  /** Another process copies it, or has tried in vain just now. */
  | { readonly kind: 'left' }
  /** The time is over: the next one goes on. */
  | { readonly kind: 'unfinished'; readonly bytes: number }
  /** The upstream did not give it. */
  | { readonly kind: 'failed'; readonly error: unknown };

/**
 * Copies a blob from its upstream to the bucket, or as much of it as there is time for. It goes on where an earlier copy has ended, however
 * that did.
 * @param isOver whether the time is over; asked as bytes come
 * @throws Error of the bucket; another process may take the claim then as soon as it has run out
 */
export async function copyBlob(
  source: Source,
  { repository: name, digest }: WantedBlob,
  options: CopyBlobOptions,
  isOver: () => boolean = () => false,
): Promise<CopyResult> {
  const claim = await options.claims.take(source, digest);
  if (claim === undefined) return { kind: 'left' };
  const copy = new Copy(source, name, digest, options, claim);
  try {
    const isWhole = await copy.run(isOver);
    if (isWhole) await claim.release();
    else await claim.pass();
    return isWhole ? { kind: 'stored' } : { kind: 'unfinished', bytes: copy.offset };
  } catch (error) {
    if (claim.isLost || error instanceof OffsetMismatch) {
      claim.drop();
      return { kind: 'left' };
    }
    const isRefused = error instanceof UpstreamError && (error.kind === 'unknown' || error.kind === 'denied');
    const isBad = isWrong(error) || isRefused;
    if (!isBad && !(error instanceof UpstreamError)) {
      claim.drop();
      throw error;
    }
    // What led nowhere is not tried again.
    if (isBad || copy.saved === 0) await copy.forget();
    if (isRefused) await claim.release();
    else await claim.fail(isBad ? wrongMs : Math.max(failedMs, pauseOf(error)));
    return { kind: 'failed', error };
  }
}

function pauseOf(error: unknown): number {
  return error instanceof UpstreamError ? Math.min(error.retryAfterMs ?? 0, wrongMs) : 0;
}

class Copy {
  /** Bytes of the blob that are saved. */
  offset = 0;
  /** How many of them this copy has saved. */
  saved = 0;
  readonly #source: Source;
  readonly #name: RepositoryName;
  readonly #digest: Digest;
  readonly #options: CopyBlobOptions;
  readonly #claim: BucketClaim;

  constructor(
    source: Source,
    name: RepositoryName,
    digest: Digest,
    options: CopyBlobOptions,
    claim: BucketClaim,
  ) {
    this.#source = source;
    this.#name = name;
    this.#digest = digest;
    this.#options = options;
    this.#claim = claim;
  }

  /** @returns whether all of the blob is stored */
  async run(isOver: () => boolean): Promise<boolean> {
    const { registry, requests, sources } = this.#options;
    const [source, name, digest] = [this.#source, this.#name, this.#digest];
    if ((await undefinedIfUnknown(registry.blobs.stat(name, digest))) !== undefined) {
      await this.forget();
      return true;
    }
    await this.#findSaved();
    // Of this repository alone: nobody else can read the body.
    const { size, body } = await requests.ask(
      source,
      `${digest} for ${name} from ${this.offset}`,
      async ({ upstream, remote }) => await upstream.blob(remote, digest, { start: this.offset }),
    );
    try {
      assertSize(source, digest, size);
      const isSource = (other: RepositoryName) => sources.isBeside(source, name, other);
      if ((await registry.blobs.mountFromAnywhere(name, digest, isSource)) !== undefined) {
        await this.forget();
        return true;
      }
      const pieces = new BlobPieces(keepingRate(body as AsyncIterable<Buffer>, source.upstream.host));
      return await this.#receive(pieces, size, () => this.#claim.isLost || isOver());
    } finally {
      body.destroy();
    }
  }

  /** Removes what was stored of the blob. */
  async forget(): Promise<void> {
    const { upload } = this.#claim;
    this.#claim.upload = undefined;
    if (upload === undefined) return;
    const { registry } = this.#options;
    await undefinedIfUnknown(registry.uploads.cancel(upload.repository as RepositoryName, upload.id));
  }

  /** What an earlier copy for this repository has saved. */
  async #findSaved(): Promise<void> {
    const { upload } = this.#claim;
    if (upload === undefined) return;
    const { registry } = this.#options;
    const isOwn = upload.repository === this.#name;
    const offset = isOwn
      ? await undefinedIfUnknown(registry.uploads.status(this.#name, upload.id))
      : undefined;
    if (offset === undefined) await this.forget();
    this.offset = offset ?? 0;
  }

  async #receive(pieces: BlobPieces, size: number, isOver: () => boolean): Promise<boolean> {
    const { registry, savedBytes: portion = savedBytes } = this.#options;
    const [name, digest] = [this.#name, this.#digest];
    while (size - this.offset > portion) {
      const id = await this.#upload();
      const start = this.offset;
      const body = pieces.upTo(portion, isOver);
      this.offset = await registry.uploads.append(name, id, {
        body,
        start,
        length: undefined,
        partial: true,
      });
      this.saved += this.offset - start;
      pieces.assertGood();
      if (isOver()) return false;
    }
    const length = size - this.offset;
    const body = pieces.exactly(length);
    const { upload } = this.#claim;
    if (upload === undefined) await registry.uploads.put(name, digest, { body, length });
    else
      await registry.uploads.finish(name, upload.id, digest, {
        body,
        start: this.offset,
        length,
        partial: true,
      });
    return true;
  }

  /** Starts an upload, and says so in the claim before it has bytes. */
  async #upload(): Promise<string> {
    if (this.#claim.upload !== undefined) return this.#claim.upload.id;
    const id = await this.#options.registry.uploads.start(this.#name, digestParts(this.#digest).algorithm);
    this.#claim.upload = { repository: this.#name, id };
    await this.#claim.renew();
    return id;
  }
}
