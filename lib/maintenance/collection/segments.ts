import { randomUUID } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { stepsKey } from '../../registry/layout.ts';
import { StoreUnavailable, type ObjectStore } from '../../storage/store.ts';

/** What a spool has written. A segment never changes. */
export interface Segments {
  /** How many there are; they are numbered from 0. */
  readonly count: number;
  append(bytes: Buffer): Promise<void>;
  /** @param start of the range, in bytes from the start of the segment */
  read(segment: number, start: number, length: number): Promise<Buffer>;
}

/**
 * Segments on the local disk: a file that has no name any more, so that nothing is left of it when the process ends, however that
 * ends.
 */
export class LocalSegments implements Segments {
  readonly #file: number;
  readonly #offsets: number[] = [];
  #end = 0;

  constructor() {
    const folder = mkdtempSync(join(tmpdir(), 'stowage-'));
    try {
      this.#file = openSync(join(folder, 'digests'), 'wx+', 0o600);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  get count(): number {
    return this.#offsets.length;
  }

  append(bytes: Buffer): Promise<void> {
    this.#offsets.push(this.#end);
    for (let at = 0; at < bytes.length;) at += writeSync(this.#file, bytes, at, undefined, this.#end + at);
    this.#end += bytes.length;
    return Promise.resolve();
  }

  read(segment: number, start: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length);
    const offset = (this.#offsets[segment] ?? 0) + start;
    for (let at = 0; at < length;) {
      const read = readSync(this.#file, bytes, at, length - at, offset + at);
      if (read === 0) throw new Error('the temporary file is shorter than what was written');
      at += read;
    }
    return Promise.resolve(bytes);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/**
 * Segments in the bucket, for looks that end in another process. Each has a random key: two processes that continue the same look never
 * replace what the other has written.
 */
export class BucketSegments implements Segments {
  readonly #store: ObjectStore;
  readonly #run: string;
  /** Their names, in order. */
  readonly names: string[];

  constructor(store: ObjectStore, run: string, names: readonly string[] = []) {
    this.#store = store;
    this.#run = run;
    this.names = [...names];
  }

  get count(): number {
    return this.names.length;
  }

  async append(bytes: Buffer): Promise<void> {
    const name = `segment-${randomUUID()}`;
    await this.#store.put(stepsKey(this.#run, name), bytes);
    this.names.push(name);
  }

  async read(segment: number, start: number, length: number): Promise<Buffer> {
    const key = stepsKey(this.#run, this.names[segment] ?? '');
    const { body } = await this.#store.open(key, { start, end: start + length - 1 });
    const bytes = await buffer(body);
    if (bytes.length !== length)
      throw new StoreUnavailable(key, `${key} is shorter than what was written: remove it, and look again`);
    return bytes;
  }
}
