import { inParallel } from '../../concurrency/in-parallel.ts';
import { digestFrom, digestParts, type Algorithm, type Digest } from '../../protocol/digests.ts';
import type { Segments } from './segments.ts';

/** Bytes in memory from which on a segment is written. */
const segmentBytes = 16 * 1024 * 1024;

/** Bytes of partitions that are read at once, unless one has more. */
const readBytes = 8 * 1024 * 1024;

/** Concurrent reads of segments. */
const parallelReads = 8;

/** Bytes before the hash of a record: flags, and the number of the owner. */
const headBytes = 5;

/** Partitions of one algorithm: one for each first byte of a hash. */
const firstBytes = 256;

const algorithms: readonly { readonly algorithm: Algorithm; readonly width: number }[] = [
  { algorithm: 'sha256', width: headBytes + 32 },
  { algorithm: 'sha512', width: headBytes + 64 },
];

const partitionCount = algorithms.length * firstBytes;

/** Bytes of the index at the start of a segment: the records of each partition, which follow it in this order. */
const indexBytes = partitionCount * 4;

/** What an owner, such as a repository, has of a digest. */
export interface Owner {
  readonly id: number;
  readonly flags: number;
}

/**
 * Who has which digest, in partitions by the first byte of the digest: 37 bytes for each owner of a SHA-256. It is written in segments,
 * each sorted by partition. In memory are the segment that grows, some partitions that are read, and 2 KB for each segment.
 */
export class Spool {
  readonly #segments: Segments;
  /** For each segment, the offset of each partition, and the end. */
  readonly #offsets: Float64Array[] = [];
  readonly #batches = algorithms.map(({ width }) => new Batch(width));
  /** The partitions that were read last, from `first` to `end`: for each segment its part of them. */
  #window: { readonly first: number; readonly end: number; readonly parts: readonly Buffer[] } = {
    first: 0,
    end: 0,
    parts: [],
  };

  constructor(segments: Segments) {
    this.#segments = segments;
  }

  /** A spool that another process has written. */
  static async open(segments: Segments): Promise<Spool> {
    const spool = new Spool(segments);
    const numbers = Array.from({ length: segments.count }, (_, segment) => segment);
    const indexes = await inParallel(
      numbers,
      parallelReads,
      async (segment) => await segments.read(segment, 0, indexBytes),
    );
    spool.#offsets.push(...indexes.map(offsetsOf));
    return spool;
  }

  /** Whether it should be written, so that memory stays flat. */
  get isFull(): boolean {
    return this.#batches.reduce((sum, { bytes }) => sum + bytes, 0) >= segmentBytes;
  }

  add(digest: Digest, owner: Owner): void {
    const { algorithm, hex } = digestParts(digest);
    this.#batches[algorithm === 'sha256' ? 0 : 1]?.add(hex, owner);
  }

  /** Writes what is in memory. */
  async flush(): Promise<void> {
    const bytes = this.#batches.reduce((sum, batch) => sum + batch.bytes, 0);
    if (bytes === 0) return;
    const segment = Buffer.alloc(indexBytes + bytes);
    let offset = indexBytes;
    for (const [i, batch] of this.#batches.entries()) {
      batch.sortInto(segment, offset, i * firstBytes);
      offset += batch.bytes;
    }
    await this.#segments.append(segment);
    this.#offsets.push(offsetsOf(segment));
    for (const batch of this.#batches) batch.clear();
  }

  /** What was added of the digests of a partition, all of which was flushed. Ask in order: partitions are read several at a time. */
  async read(partition: number): Promise<SpooledOwners> {
    if (partition < this.#window.first || partition >= this.#window.end) await this.#readFrom(partition);
    const { first, parts } = this.#window;
    const bytes = Buffer.concat(
      parts.map((part, segment) => {
        const from = this.#offset(segment, first);
        return part.subarray(
          this.#offset(segment, partition) - from,
          this.#offset(segment, partition + 1) - from,
        );
      }),
    );
    return new SpooledOwners(partition, bytes);
  }

  async #readFrom(first: number): Promise<void> {
    let end = first + 1;
    while (end < partitionCount && this.#bytesOf(first, end + 1) <= readBytes) end += 1;
    const segments = this.#offsets.map((_, segment) => segment);
    const parts = await inParallel(segments, parallelReads, async (segment) => {
      const [from, to] = [this.#offset(segment, first), this.#offset(segment, end)];
      return from === to ? Buffer.alloc(0) : await this.#segments.read(segment, from, to - from);
    });
    this.#window = { first, end, parts };
  }

  #bytesOf(first: number, end: number): number {
    return this.#offsets.reduce((sum, offsets) => sum + (offsets[end] ?? 0) - (offsets[first] ?? 0), 0);
  }

  #offset(segment: number, partition: number): number {
    return this.#offsets[segment]?.[partition] ?? 0;
  }
}

/** Records of digests of one algorithm, in the order in which they were added. */
class Batch {
  readonly #width: number;
  #records = Buffer.alloc(0);
  bytes = 0;

  constructor(width: number) {
    this.#width = width;
  }

  add(hex: string, { id, flags }: Owner): void {
    if (this.bytes === this.#records.length)
      this.#records = Buffer.concat([this.#records], Math.max(this.bytes * 2, this.#width * 1024));
    this.#records.writeUInt8(flags, this.bytes);
    this.#records.writeUInt32LE(id, this.bytes + 1);
    this.#records.write(hex, this.bytes + headBytes, 'hex');
    this.bytes += this.#width;
  }

  /**
   * Sorts the records by first byte, and counts those of each in the index.
   * @param first place in the index
   */
  sortInto(segment: Buffer, offset: number, first: number): void {
    const sizes = new Float64Array(firstBytes);
    const byteAt = (record: number) => this.#records[record + headBytes] ?? 0;
    for (let at = 0; at < this.bytes; at += this.#width)
      sizes[byteAt(at)] = (sizes[byteAt(at)] ?? 0) + this.#width;
    const next = new Float64Array(firstBytes + 1).fill(offset, 0, 1);
    sizes.forEach((size, byte) => {
      segment.writeUInt32LE(size / this.#width, (first + byte) * 4);
      next[byte + 1] = (next[byte] ?? 0) + size;
    });
    for (let at = 0; at < this.bytes; at += this.#width) {
      const to = next[byteAt(at)] ?? 0;
      this.#records.copy(segment, to, at, at + this.#width);
      next[byteAt(at)] = to + this.#width;
    }
  }

  clear(): void {
    this.bytes = 0;
  }
}

function offsetsOf(index: Buffer): Float64Array {
  const offsets = new Float64Array(partitionCount + 1);
  let offset = indexBytes;
  for (let partition = 0; partition < partitionCount; partition++) {
    offsets[partition] = offset;
    offset += index.readUInt32LE(partition * 4) * widthOf(partition);
  }
  offsets[partitionCount] = offset;
  return offsets;
}

/** The number of the partition of a digest. Partitions have the order of digests. */
export function partitionOf(digest: Digest): number {
  const { algorithm, hex } = digestParts(digest);
  return (algorithm === 'sha256' ? 0 : firstBytes) + Number.parseInt(hex.slice(0, 2), 16);
}

export const lastPartition = partitionCount - 1;

function algorithmOf(partition: number): (typeof algorithms)[number] {
  return algorithms[Math.floor(partition / firstBytes)] ?? { algorithm: 'sha256', width: 1 };
}

function widthOf(partition: number): number {
  return algorithmOf(partition).width;
}

/** The owners of the digests of one partition, sorted by digest. Each call goes on from the last. */
export class SpooledOwners {
  readonly #algorithm: Algorithm;
  readonly #bytes: Buffer;
  readonly #width: number;
  /** Numbers of records, in the order of their hashes. */
  readonly #order: Uint32Array;
  #at = 0;

  constructor(partition: number, bytes: Buffer) {
    const { algorithm, width } = algorithmOf(partition);
    this.#algorithm = algorithm;
    this.#bytes = bytes;
    this.#width = width;
    this.#order = Uint32Array.from({ length: bytes.length / width }, (_, record) => record);
    this.#order.sort((a, b) => {
      const [ofA, ofB] = [a * width + headBytes, b * width + headBytes];
      // Owners of the same digest stay in the order in which they were added.
      return bytes.compare(bytes, ofB, ofB + width - headBytes, ofA, ofA + width - headBytes) || a - b;
    });
  }

  /** The owners of a digest. Those of digests before it are skipped. */
  of(digest: Digest): Owner[] {
    const wanted = Buffer.from(digestParts(digest).hex, 'hex');
    while (this.#compare(wanted) < 0) this.#at += 1;
    return this.#take(wanted);
  }

  /** The digests before this one, or all, with their owners. */
  *before(digest?: Digest): Generator<{ readonly digest: Digest; readonly owners: readonly Owner[] }, void> {
    const end = digest && Buffer.from(digestParts(digest).hex, 'hex');
    while (end === undefined ? this.#at < this.#order.length : this.#compare(end) < 0) {
      const hash = this.#hash(this.#order[this.#at] ?? 0);
      yield { digest: digestFrom(this.#algorithm, hash.toString('hex')), owners: this.#take(hash) };
    }
  }

  /** The order of the next digest and another; 1 after the last one. */
  #compare(hash: Buffer): number {
    return this.#at < this.#order.length ? this.#hash(this.#order[this.#at] ?? 0).compare(hash) : 1;
  }

  /** The next owners, if they are of this digest. */
  #take(hash: Buffer): Owner[] {
    const owners: Owner[] = [];
    for (; this.#compare(hash) === 0; this.#at++) {
      const at = (this.#order[this.#at] ?? 0) * this.#width;
      owners.push({ flags: this.#bytes.readUInt8(at), id: this.#bytes.readUInt32LE(at + 1) });
    }
    return owners;
  }

  #hash(record: number): Buffer {
    const at = record * this.#width;
    return this.#bytes.subarray(at + headBytes, at + this.#width);
  }
}
