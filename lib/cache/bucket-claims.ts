import type { Digest } from '../protocol/digests.ts';
import { fieldsOf } from '../registry/json-fields.ts';
import { copyClaim } from '../registry/layout.ts';
import { undefinedIfDamaged } from '../registry/links.ts';
import { storeTimeMs } from '../storage/store-time.ts';
import { PreconditionFailed, type ObjectStore, type PutOptions } from '../storage/store.ts';
import type { Source } from './sources.ts';

/** Milliseconds after which a claim that is not written again is nobody's. Lambda repeats what has failed after a minute. */
const heldMs = 45_000;

/** How often a copy writes its claim again, in milliseconds. */
const renewMs = 15_000;

/** Bytes of such an object. */
const maxSize = 4096;

/** The bytes that an earlier copy has stored. */
export interface CopyUpload {
  readonly repository: string;
  readonly id: string;
}

interface ClaimRecord {
  /** Somebody was asked for the copy, does it, or has tried in vain. */
  readonly state: 'asked' | 'copying' | 'failed';
  /** Milliseconds after it was written for which it counts. */
  readonly holdMs: number;
  readonly upload?: CopyUpload | undefined;
}

/**
 * Claims to copy a blob from an upstream, as objects in the bucket: one for each upstream and digest. Where the bucket honours conditions,
 * there is one copy at a time. Elsewhere, two that begin within some milliseconds are both made, which is only wasteful.
 */
export class BucketClaims {
  readonly #store: ObjectStore;
  readonly #now: () => number;

  /** @param now by the clock that dates objects, in milliseconds since 1970 */
  constructor(store: ObjectStore, now = () => storeTimeMs(store)) {
    this.#store = store;
    this.#now = now;
  }

  /** Claims a blob for a copy that the caller asks somebody for. @returns false if there is one, or the last one has failed just now */
  async ask({ account }: Pick<Source, 'account'>, digest: Digest): Promise<boolean> {
    const key = copyClaim(account, digest);
    const record: ClaimRecord = { state: 'asked', holdMs: heldMs };
    const { honoursOnlyIfAbsent } = this.#store.limits;
    if (honoursOnlyIfAbsent && (await this.write(key, record, { onlyIfAbsent: true })) !== undefined)
      return true;
    const found = await this.#read(key);
    // It was there a moment ago, so a copy has ended.
    if (found === undefined && honoursOnlyIfAbsent) return false;
    if (found?.isHeld === true) return false;
    return (
      (await this.write(key, { ...record, upload: found?.upload }, { ifMatch: found?.etag })) !== undefined
    );
  }

  /** Takes back what {@link ask} has claimed, since nobody could be asked. */
  async withdraw({ account }: Pick<Source, 'account'>, digest: Digest): Promise<void> {
    await this.#store.delete([copyClaim(account, digest)]);
  }

  /** The claim for the process that copies a blob; undefined if another one copies it, or it has failed just now. */
  async take({ account }: Pick<Source, 'account'>, digest: Digest): Promise<BucketClaim | undefined> {
    const key = copyClaim(account, digest);
    const found = await this.#read(key);
    if (found !== undefined && found.state !== 'asked' && found.isHeld) return undefined;
    const upload = found?.upload;
    const record: ClaimRecord = { state: 'copying', holdMs: heldMs, upload };
    const condition = found === undefined ? { onlyIfAbsent: true } : { ifMatch: found.etag };
    const etag = await this.write(key, record, condition);
    return etag === undefined ? undefined : new BucketClaim(this, this.#store, key, { etag, upload });
  }

  /** @returns undefined if somebody else has written it */
  async write(
    key: string,
    record: ClaimRecord,
    {
      onlyIfAbsent = false,
      ifMatch,
    }: { readonly onlyIfAbsent?: boolean; readonly ifMatch?: string | undefined },
  ): Promise<string | undefined> {
    const options: PutOptions = { onlyIfAbsent, ...(ifMatch !== undefined && { ifMatch }), transient: true };
    // Differs each time, and so does its ETag.
    const bytes = Buffer.from(`${JSON.stringify({ version: 1, ...record, at: new Date() })}\n`);
    try {
      return (await this.#store.put(key, bytes, options)).etag;
    } catch (error) {
      if (error instanceof PreconditionFailed) return undefined;
      throw error;
    }
  }

  async #read(
    key: string,
  ): Promise<(ClaimRecord & { readonly etag: string; readonly isHeld: boolean }) | undefined> {
    const object = await undefinedIfDamaged(this.#store, key, this.#store.read(key, maxSize));
    if (object === undefined) return undefined;
    const record = parse(object.bytes);
    const ageMs = this.#now() - object.lastModified.getTime();
    return { ...record, etag: object.etag, isHeld: ageMs < record.holdMs };
  }
}

/** What nobody understands is nobody's. */
function parse(bytes: Buffer): ClaimRecord {
  const { state, holdMs, upload } = (fieldsOf(bytes) ?? {}) as Partial<Record<keyof ClaimRecord, unknown>>;
  const { repository, id } = Object(upload ?? {}) as Partial<Record<keyof CopyUpload, unknown>>;
  return {
    state: state === 'copying' || state === 'failed' ? state : 'asked',
    holdMs: typeof holdMs === 'number' ? holdMs : 0,
    upload: typeof repository === 'string' && typeof id === 'string' ? { repository, id } : undefined,
  };
}

/** The right to copy a blob. */
export class BucketClaim {
  /** What was stored of the blob. */
  upload: CopyUpload | undefined;
  readonly #claims: Pick<BucketClaims, 'write'>;
  readonly #store: Pick<ObjectStore, 'delete'>;
  readonly #key: string;
  readonly #timer: NodeJS.Timeout;
  #etag: string;
  #isLost = false;
  /** One write at a time, since each needs the ETag of the last. */
  #writing: Promise<void> = Promise.resolve();

  constructor(
    claims: Pick<BucketClaims, 'write'>,
    store: Pick<ObjectStore, 'delete'>,
    key: string,
    { etag, upload }: { readonly etag: string; readonly upload: CopyUpload | undefined },
  ) {
    this.#claims = claims;
    this.#store = store;
    this.#key = key;
    this.#etag = etag;
    this.upload = upload;
    this.#timer = setInterval(() => {
      // The next one may succeed.
      void this.renew().catch(() => undefined);
    }, renewMs);
  }

  /** Whether another process has taken it, since this one has not renewed it in time. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Keeps it, with the upload. */
  async renew(): Promise<void> {
    await this.#write('copying', heldMs);
  }

  /** Ends with it: whoever was asked for the rest takes it. */
  async pass(): Promise<void> {
    await this.#end('asked', heldMs);
  }

  /** Ends with it: nobody tries again for some milliseconds. */
  async fail(holdMs: number): Promise<void> {
    await this.#end('failed', holdMs);
  }

  /** Ends with it: nothing of it stays. */
  async release(): Promise<void> {
    clearInterval(this.#timer);
    await this.#writing;
    if (!this.#isLost) await this.#store.delete([this.#key]);
  }

  /** Ends with it as if this process were gone. */
  drop(): void {
    clearInterval(this.#timer);
  }

  async #end(state: ClaimRecord['state'], holdMs: number): Promise<void> {
    clearInterval(this.#timer);
    await this.#write(state, holdMs);
  }

  async #write(state: ClaimRecord['state'], holdMs: number): Promise<void> {
    const write = this.#writing.then(async () => {
      if (this.#isLost) return;
      const record = { state, holdMs, upload: this.upload };
      const etag = await this.#claims.write(this.#key, record, { ifMatch: this.#etag });
      if (etag === undefined) this.#isLost = true;
      else this.#etag = etag;
    });
    this.#writing = write.catch(() => undefined);
    await write;
  }
}
