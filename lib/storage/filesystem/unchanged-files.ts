import type { BigIntStats } from 'node:fs';

/** Bytes of the largest file that is kept: the link with the longest digest has 135. */
const maxBytes = 256;

/** Most files that are kept: with paths of 200 bytes, they take about 4 MB. */
const maxFiles = 4096;

/**
 * A file that was changed less than this long ago is not kept. The kernel notes the time of a change in steps of some
 * milliseconds, so another change within the same step may leave the file's times as they are. Generous, since other
 * systems have coarser steps.
 */
const settledMs = 2000;

interface Content {
  readonly stats: BigIntStats;
  readonly bytes: Buffer;
}

/**
 * The contents of tiny files, as long as they are unchanged: each use asks the kernel for the file's device, inode, size and
 * times. A file that is replaced by a rename has another inode. One that is written in place, as distribution 2 moves a tag,
 * has another time of change, which no program can set.
 */
export class UnchangedFiles {
  readonly #now: () => number;
  /** By path, oldest first. */
  readonly #contents = new Map<string, Content>();

  /** @param now milliseconds since 1970 */
  constructor(now: () => number = () => Date.now()) {
    this.#now = now;
  }

  has(path: string): boolean {
    return this.#contents.has(path);
  }

  /** The bytes of a file, which must not be changed. @param stats as the kernel gave them just now */
  get(path: string, stats: BigIntStats): Buffer | undefined {
    const content = this.#contents.get(path);
    if (content === undefined) return undefined;
    if (isSame(content.stats, stats)) return content.bytes;
    this.#contents.delete(path);
    return undefined;
  }

  /**
   * Keeps the content of a file, unless it is too large or was changed too recently.
   * @param stats as the kernel gave them before the bytes were read: bytes of a later change do not belong to them
   */
  add(path: string, stats: BigIntStats, bytes: Buffer): void {
    if (bytes.length > maxBytes || this.#now() - Number(stats.ctimeNs / 1_000_000n) < settledMs) return;
    if (this.#contents.size >= maxFiles) {
      const [oldest = ''] = this.#contents.keys();
      this.#contents.delete(oldest);
    }
    // A copy in memory of its own: small buffers are parts of a larger one, which this one would keep.
    const copy = Buffer.allocUnsafeSlow(bytes.length);
    bytes.copy(copy);
    this.#contents.set(path, { stats, bytes: copy });
  }
}

function isSame(one: BigIntStats, other: BigIntStats): boolean {
  return (
    one.ino === other.ino &&
    one.ctimeNs === other.ctimeNs &&
    one.mtimeNs === other.mtimeNs &&
    one.size === other.size &&
    one.dev === other.dev
  );
}
