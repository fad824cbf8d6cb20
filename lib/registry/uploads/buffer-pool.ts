import { RegistryError } from '../../protocol/errors.ts';

/** Memory that was claimed of a {@link BufferPool}. */
export interface Claim {
  /** How much. */
  readonly bytes: number;
  /** @param reclaim called once, in place of any before, when others have waited for long enough: the claim is to be given back soon then */
  onReclaim(reclaim: () => void): void;
  /** From now on it is not asked for: what is in it is being stored, and it will be released soon. */
  pin(): void;
  /** Gives it back, with the buffer it was used for. Done twice, it does nothing. */
  release(buffer?: Buffer): void;
}

export interface BufferPoolOptions {
  /** Bytes to share. A claim for more is granted while there is no other. */
  readonly bytes?: number;
  /** Milliseconds a claim may be held while others wait, before it is asked for. */
  readonly holdMs?: number;
  /** Milliseconds a claim is waited for. */
  readonly waitMs?: number;
}

/** Milliseconds that buffers are kept for the next use. */
const keepMs = 5_000;

interface Holder {
  readonly reclaim: () => void;
  readonly since: number;
}

/**
 * What a process may hold in memory of bodies on their way to the store. Claims are granted in the order they were made.
 * Who holds one that others wait for is asked to give it back after a while, so that clients that send slowly, or
 * nothing, keep no memory from the others.
 */
export class BufferPool {
  readonly #bytes: number;
  readonly #holdMs: number;
  readonly #waitMs: number;
  #used = 0;
  /** In the order of their claims. */
  readonly #holders = new Set<Holder>();
  readonly #waiting = new Set<{ readonly bytes: number; readonly grant: () => void }>();
  #timer: NodeJS.Timeout | undefined;
  /** Buffers in use, and their bytes. */
  readonly #handedOut = new WeakSet<Buffer>();
  #handedOutBytes = 0;
  #spares: Buffer[] = [];
  #spareTimer: NodeJS.Timeout | undefined;

  constructor({ bytes = 48 * 1024 * 1024, holdMs = 500, waitMs = 60_000 }: BufferPoolOptions = {}) {
    this.#bytes = bytes;
    this.#holdMs = holdMs;
    this.#waitMs = waitMs;
  }

  /** Whether somebody waits. */
  get isContended(): boolean {
    return this.#waiting.size > 0;
  }

  /**
   * Waits for memory.
   * @throws RegistryError BUSY when none became free in time
   */
  async claim(bytes: number): Promise<Claim> {
    if (this.#waiting.size > 0 || !this.#fits(bytes)) await this.#wait(bytes);
    else this.#used += bytes;
    return this.#granted(bytes);
  }

  /** A buffer for all of a claim, which may have been used before. It is given back with the claim. */
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

  /** Asks the one who has held a claim for longest, now or when it has been long enough, while others wait. */
  #reclaim(): void {
    clearTimeout(this.#timer);
    const [eldest] = this.#holders;
    if (this.#waiting.size === 0 || eldest === undefined) return;
    this.#timer = setTimeout(
      () => {
        // It may have been pinned or released meanwhile.
        if (this.#holders.delete(eldest)) eldest.reclaim();
        this.#reclaim();
      },
      Math.max(0, eldest.since + this.#holdMs - performance.now()),
    );
  }

  /** Those in use and the spares together have no more than what may be held. */
  #dropSpares(): void {
    let bytes = this.#handedOutBytes + this.#spares.reduce((sum, { byteLength }) => sum + byteLength, 0);
    while (bytes > this.#bytes && this.#spares.length > 0) bytes -= this.#spares.shift()?.byteLength ?? 0;
  }

  /** Memory that was just used need not be asked of the system again. What nobody wants goes back to it. */
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
