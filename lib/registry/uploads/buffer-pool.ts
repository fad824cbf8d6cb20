import { RegistryError } from '../../protocol/errors.ts';

/** Memory for the parts of all uploads. */
export const uploadBytes = 48 * 1024 * 1024;

/** Memory claimed from a {@link BufferPool}. */
export interface Claim {
  readonly bytes: number;
  /**
   * Sets the callback that asks for the memory back after others have waited for `holdMs`; the claim must then be released
   * soon. Replaces an earlier callback and is called once.
   */
  onReclaim(reclaim: () => void): void;
  /** Stops reclaiming: the content is being stored, and the claim will be released soon. */
  pin(): void;
  /** Releases the memory and the buffer used for it. Idempotent. */
  release(buffer?: Buffer): void;
}

export interface BufferPoolOptions {
  /** Bytes of the pool. A larger claim is granted while there is no other. */
  readonly bytes?: number;
  /** How long a claim may be held while others wait before it is reclaimed. */
  readonly holdMs?: number;
  /** How long to wait for a claim. */
  readonly waitMs?: number;
}

/** How long spare buffers are kept. */
const keepMs = 5_000;

interface Holder {
  readonly reclaim: () => void;
  readonly since: number;
}

/**
 * Bounds the memory of request bodies on their way to the store. Claims are granted in order. While others wait, the oldest
 * claims are reclaimed, so that slow or stalled clients do not block the others.
 */
export class BufferPool {
  readonly #bytes: number;
  readonly #holdMs: number;
  readonly #waitMs: number;
  #used = 0;
  /** Oldest first. */
  readonly #holders = new Set<Holder>();
  readonly #waiting = new Set<{ readonly bytes: number; readonly grant: () => void }>();
  #timer: NodeJS.Timeout | undefined;
  /** Buffers in use. */
  readonly #handedOut = new WeakSet<Buffer>();
  #handedOutBytes = 0;
  #spares: Buffer[] = [];
  #spareTimer: NodeJS.Timeout | undefined;

  constructor({ bytes = uploadBytes, holdMs = 500, waitMs = 60_000 }: BufferPoolOptions = {}) {
    this.#bytes = bytes;
    this.#holdMs = holdMs;
    this.#waitMs = waitMs;
  }

  /** Whether any claim is waiting. */
  get isContended(): boolean {
    return this.#waiting.size > 0;
  }

  /**
   * Waits for memory.
   * @throws RegistryError BUSY on timeout
   */
  async claim(bytes: number): Promise<Claim> {
    if (this.#waiting.size > 0 || !this.#fits(bytes)) await this.#wait(bytes);
    else this.#used += bytes;
    return this.#granted(bytes);
  }

  /** A buffer for a whole claim, possibly with old content. It is released with the claim. */
  buffer(bytes: number): Buffer {
    const at = this.#spares.findIndex(({ byteLength }) => byteLength === bytes);
    const [spare] = this.#spares.splice(at, at < 0 ? 0 : 1);
    const buffer = spare ?? Buffer.allocUnsafeSlow(bytes);
    this.#handedOut.add(buffer);
    this.#handedOutBytes += bytes;
    this.#dropSpares();
    return buffer;
  }

  #fits(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes <= this.#bytes;
  }

  async #wait(bytes: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const waiting = {
        bytes,
        grant: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(waiting);
        this.#grant();
        reject(new RegistryError('BUSY'));
      }, this.#waitMs);
      this.#waiting.add(waiting);
      this.#reclaim();
    });
  }

  #granted(bytes: number): Claim {
    let holder: Holder | undefined;
    let isHeld = true;
    const pin = () => {
      if (holder !== undefined) this.#holders.delete(holder);
    };
    return {
      bytes,
      onReclaim: (reclaim) => {
        pin();
        holder = { reclaim, since: performance.now() };
        this.#holders.add(holder);
        this.#reclaim();
      },
      pin,
      release: (buffer) => {
        if (!isHeld) return;
        isHeld = false;
        pin();
        this.#used -= bytes;
        if (buffer !== undefined && this.#handedOut.delete(buffer)) this.#keep(buffer);
        this.#grant();
      },
    };
  }

  #grant(): void {
    for (const waiting of this.#waiting) {
      if (!this.#fits(waiting.bytes)) break;
      this.#waiting.delete(waiting);
      this.#used += waiting.bytes;
      waiting.grant();
    }
    this.#reclaim();
  }

  /** While claims wait, reclaims the oldest one, as soon as it was held for long enough. */
  #reclaim(): void {
    clearTimeout(this.#timer);
    const [eldest] = this.#holders;
    if (this.#waiting.size === 0 || eldest === undefined) return;
    this.#timer = setTimeout(
      () => {
        // It may have been pinned or released in the meantime.
        if (this.#holders.delete(eldest)) eldest.reclaim();
        this.#reclaim();
      },
      Math.max(0, eldest.since + this.#holdMs - performance.now()),
    );
  }

  /** Limits buffers in use and spares together to the size of the pool. */
  #dropSpares(): void {
    let bytes = this.#handedOutBytes + this.#spares.reduce((sum, { byteLength }) => sum + byteLength, 0);
    while (bytes > this.#bytes && this.#spares.length > 0) bytes -= this.#spares.shift()?.byteLength ?? 0;
  }

  /** Keeps a buffer for reuse, and frees the spares after {@link keepMs}. */
  #keep(buffer: Buffer): void {
    this.#handedOutBytes -= buffer.byteLength;
    this.#spares.push(buffer);
    this.#dropSpares();
    this.#spareTimer ??= setTimeout(() => {
      this.#spares = [];
      this.#spareTimer = undefined;
    }, keepMs).unref();
  }
}
