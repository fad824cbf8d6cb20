import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestFrom, digestParts, type Algorithm, type Digest } from '../../protocol/digests.ts';

/** Records of one block. */
const blockRecords = 512;

/** Bytes before the hash of a record: flags, and the number of the owner. */
const headBytes = 5;

/** What an owner, such as a repository, has of a digest. */
export interface Owner {
  readonly id: number;
  readonly flags: number;
}

interface Partition {
  readonly width: number;
  /** Offsets in the file of the blocks that are full. */
  readonly blocks: number[];
  readonly block: Buffer;
  /** Bytes of it in use. */
  used: number;
}

/**
 * Who has which digest, on the local disk, in partitions by the first byte of the digest: 37 bytes for each owner of a SHA-256. In
 * memory are a block of each partition, 10 MB in all, and the partition that is read.
 *
 * It is a file that has no name any more, so that nothing is left of it when the process ends, however that ends.
 */
export class Spool {
  readonly #file: number;
  readonly #partitions = new Map<string, Partition>();
  #end = 0;

  constructor() {
    const folder = mkdtempSync(join(tmpdir(), 'stowage-'));
    try {
      this.#file = openSync(join(folder, 'digests'), 'wx+', 0o600);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  add(digest: Digest, { id, flags }: Owner): void {
    const { hex } = digestParts(digest);
    const name = partitionOf(digest);
    let partition = this.#partitions.get(name);
    if (partition === undefined) {
      const width = headBytes + hex.length / 2;
      partition = { width, blocks: [], block: Buffer.alloc(width * blockRecords), used: 0 };
      this.#partitions.set(name, partition);
    }
    const { block, width, blocks } = partition;
    block.writeUInt8(flags, partition.used);
    block.writeUInt32LE(id, partition.used + 1);
    block.write(hex, partition.used + headBytes, 'hex');
    partition.used += width;
    if (partition.used < block.length) return;
    blocks.push(this.#end);
    this.#end += writeSync(this.#file, block, 0, block.length, this.#end);
    partition.used = 0;
  }

  /** The names of all partitions that have something, in order. */
  get partitions(): string[] {
    return [...this.#partitions.keys()].sort();
  }

  /** What was added of the digests of a partition. Ask for them in the order of their text. */
  read(partition: string): SpooledOwners {
    const { width, blocks, block, used } = this.#partitions.get(partition) ?? none;
    const bytes = Buffer.alloc(blocks.length * block.length + used);
    blocks.forEach((offset, i) => readSync(this.#file, bytes, i * block.length, block.length, offset));
    block.copy(bytes, blocks.length * block.length, 0, used);
    return new SpooledOwners(partition, bytes, width);
  }

  close(): void {
    closeSync(this.#file);
  }
}

const none: Partition = { width: 1, blocks: [], block: Buffer.alloc(0), used: 0 };

/** The name of the partition of a digest. */
export function partitionOf(digest: Digest): string {
  const { algorithm, hex } = digestParts(digest);
  return `${algorithm}:${hex.slice(0, 2)}`;
}

/** The owners of the digests of one partition, sorted by digest. Each call goes on from the last. */
export class SpooledOwners {
  readonly #algorithm: Algorithm;
  readonly #bytes: Buffer;
  readonly #width: number;
  /** Numbers of records, in the order of their hashes. */
  readonly #order: Uint32Array;
  #at = 0;

  constructor(partition: string, bytes: Buffer, width: number) {
    this.#algorithm = partition.startsWith('sha512') ? 'sha512' : 'sha256';
    this.#bytes = bytes;
    this.#width = width;
    this.#order = Uint32Array.from({ length: bytes.length / width }, (_, record) => record);
    this.#order.sort((a, b) => this.#hash(a).compare(this.#hash(b)));
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
