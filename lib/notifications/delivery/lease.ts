import { randomUUID } from 'node:crypto';
import { deliveryLease } from '../../registry/layout.ts';
import { undefinedIfMissing } from '../../registry/links.ts';
import { storeTimeMs } from '../../storage/store-time.ts';
import {
  PreconditionFailed,
  type ObjectInfo,
  type ObjectStore,
  type PutOptions,
} from '../../storage/store.ts';

/** For how long a process holds the lease after it last wrote it, by its own clock, in milliseconds. */
const heldMs = 50_000;

/** After which another process may take it, by the clock that dates objects. The rest is for clocks that differ. */
const expiredMs = 120_000;

/** How often it is written again. */
export const renewMs = 20_000;

/**
 * Lets one process at a time deliver events. Where the bucket honours conditions, there is never a second one, but for a process that was
 * stopped for a while in the middle of a delivery. Elsewhere two may deliver at the same time for some seconds: the last one that wrote
 * the lease goes on, and some events arrive twice.
 */
export class Lease {
  readonly #store: ObjectStore;
  readonly #holder = randomUUID();
  #etag: string | undefined;
  #writtenMs = -Infinity;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  get isHeld(): boolean {
    return this.#etag !== undefined && performance.now() - this.#writtenMs < heldMs;
  }

  /** Takes it unless another process has it: one request, and two or three more if there is a lease. @returns whether it is held */
  async acquire(): Promise<boolean> {
    const { honoursOnlyIfAbsent } = this.#store.limits;
    if (honoursOnlyIfAbsent && (await this.#write({ onlyIfAbsent: true }))) return true;
    const found = await undefinedIfMissing(this.#store.head(deliveryLease));
    if (found === undefined) return honoursOnlyIfAbsent ? false : await this.#writeAndCheck();
    if (storeTimeMs(this.#store) - found.lastModified.getTime() < expiredMs) return false;
    return await this.#replace(found);
  }

  /** Writes it again. @returns whether it is still held */
  async renew(): Promise<boolean> {
    const etag = this.#etag;
    if (etag === undefined || !this.isHeld) return this.#lost();
    if (this.#store.limits.honoursIfMatch) return (await this.#write({ ifMatch: etag })) || this.#lost();
    return (await this.#isMine()) ? await this.#write({}) : this.#lost();
  }

  /** Lets other processes have it at once. */
  async release(): Promise<void> {
    if (this.isHeld) await this.#store.delete([deliveryLease]);
    this.#lost();
  }

  async #replace({ etag }: ObjectInfo): Promise<boolean> {
    if (this.#store.limits.honoursIfMatch) return await this.#write({ ifMatch: etag });
    return await this.#writeAndCheck();
  }

  /** Of two processes that do this at the same time, mostly one finds its own. */
  async #writeAndCheck(): Promise<boolean> {
    await this.#write({});
    return (await this.#isMine()) || this.#lost();
  }

  async #write(condition: Pick<PutOptions, 'onlyIfAbsent' | 'ifMatch'>): Promise<boolean> {
    const startMs = performance.now();
    // Differs each time, and so does its ETag.
    const content = JSON.stringify({ holder: this.#holder, at: new Date() });
    try {
      const { etag } = await this.#store.put(deliveryLease, Buffer.from(content), {
        ...condition,
        transient: true,
      });
      [this.#etag, this.#writtenMs] = [etag, startMs];
      return true;
    } catch (error) {
      if (error instanceof PreconditionFailed) return false;
      throw error;
    }
  }

  async #isMine(): Promise<boolean> {
    const found = await undefinedIfMissing(this.#store.read(deliveryLease, 1024));
    return found?.bytes.includes(this.#holder) === true;
  }

  #lost(): false {
    this.#etag = undefined;
    return false;
  }
}
