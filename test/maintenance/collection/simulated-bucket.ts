import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import {
  ObjectNotFound,
  type ByteRange,
  type Fencing,
  type Listing,
  type ListOptions,
  type ObjectHead,
  type ObjectInfo,
} from '../../../lib/storage/store.ts';
import { MemoryStore } from '../../registry/memory-store.ts';

const root = 'docker/registry/v2';
const blobs = `${root}/blobs/`;
const repositories = `${root}/repositories/`;
const kept = `${root}/gc/`;

/** Images of a repository, each with a config, some layers of its own, and one that all images have. */
const images = 11;
const ownLayers = 7;
const ownBlobs = images * (ownLayers + 1);
/** Pushed, and never named by a manifest. */
const unnamed = 1;
/** In one of so many repositories a tag was moved from the last image to the one before. */
const movedEvery = 10;

const long = new Date(0);
const size = 1_000_000;

/** Milliseconds that requests take: a page of a listing, an object that is read beside 15 others, and any other. */
const listMs = 100;
const manifestMs = 50 / 16;
const otherMs = 50;

/** An odd number, by which blobs get digests that are spread, and its inverse modulo 2^24. */
const spread = 0x9e_37_79;
const spreadBits = 24;
const placeMask = 2 ** spreadBits - 1;
const inverse = inverseOf(spread);

/**
 * A bucket of any size whose objects exist only as they are listed or read: each repository has 11 images, and 100 objects in
 * `blobs/` of its own, one of which nothing names. In each tenth repository, one image has lost its tag. In memory are only the
 * digests of manifests, 36 bytes each. What is deleted is still there, except below `gc/`. Fences are opened, and not enforced.
 */
export class SimulatedBucket extends MemoryStore {
  readonly #count: number;
  readonly #folder: string;
  /** Of all manifests, sorted: hash, and number. */
  readonly #manifests: Buffer;
  #listing:
    { readonly prefix: string; readonly objects: Iterator<ObjectInfo, void>; last: string } | undefined;
  /** Below `gc/`. */
  readonly #kept = new Map<string, Pick<ObjectInfo, 'size' | 'lastModified'>>();
  /** Requests. */
  asked = 0;
  /** Milliseconds that they would have taken. */
  elapsedMs = 0;

  readonly fencing: Fencing = {
    open: async (prefix) => {
      const { objects } = await this.list({ prefix });
      return { fence: { opened: new Date() }, objects };
    },
    end: async () => await Promise.resolve(0),
    openDeletion: async ({ key, bytes }) => {
      await this.put(key, bytes);
      return { opened: new Date() };
    },
    endDeletion: async () => await Promise.resolve(0),
    refusal: async () => {
      await Promise.resolve(undefined);
    },
  };

  /** @param folder for what a look keeps */
  constructor(count: number, folder: string) {
    super();
    if (count * (ownBlobs + unnamed) >= 2 ** spreadBits) throw new Error('too many');
    this.#count = count;
    this.#folder = folder;
    this.#manifests = this.#sortManifests();
  }

  get blobs(): number {
    return this.#count * (ownBlobs + unnamed + images) + 1;
  }

  #ask(ms: number): void {
    this.asked += 1;
    this.elapsedMs += ms;
  }

  override list({ prefix = '', delimiter, startAfter = '' }: ListOptions): Promise<Listing> {
    this.#ask(listMs);
    if (delimiter !== undefined) return Promise.resolve(this.#folders(prefix));
    const page: ObjectInfo[] = [];
    if (this.#listing?.prefix !== prefix || this.#listing.last !== startAfter)
      this.#listing = { prefix, objects: this.#objects(prefix, startAfter), last: startAfter };
    const { objects } = this.#listing;
    while (page.length < 1000) {
      const { value, done } = objects.next();
      if (done === true) return Promise.resolve({ objects: page, prefixes: [], next: undefined });
      if (value.key > startAfter) page.push(value);
    }
    this.#listing.last = page.at(-1)?.key ?? '';
    return Promise.resolve({ objects: page, prefixes: [], next: this.#listing.last });
  }

  override head(key: string): Promise<ObjectHead> {
    this.#ask(otherMs);
    const kept = this.#kept.get(key);
    if (kept === undefined) return Promise.reject(new ObjectNotFound(key));
    return Promise.resolve({ key, etag: '', ...kept, metadata: {} });
  }

  override read(key: string): ReturnType<MemoryStore['read']> {
    const isKept = key.startsWith(kept);
    this.#ask(isKept ? otherMs : manifestMs);
    if (isKept && !this.#kept.has(key)) return Promise.reject(new ObjectNotFound(key));
    const bytes = isKept
      ? readFileSync(join(this.#folder, key))
      : this.#manifest(this.#find(Buffer.from(key.split('/')[6] ?? '', 'hex')));
    return Promise.resolve({ ...object(key, '', bytes.length), metadata: {}, bytes });
  }

  override put(key: string, bytes: Uint8Array): Promise<ObjectInfo> {
    this.#ask(otherMs);
    mkdirSync(dirname(join(this.#folder, key)), { recursive: true });
    writeFileSync(join(this.#folder, key), bytes);
    const written = { size: bytes.length, lastModified: new Date() };
    this.#kept.set(key, written);
    return Promise.resolve({ key, etag: '', ...written });
  }

  override open(
    key: string,
    { start, end = Infinity }: ByteRange = { start: 0 },
  ): ReturnType<MemoryStore['open']> {
    this.#ask(otherMs);
    const size = this.#kept.get(key)?.size;
    if (size === undefined) return Promise.reject(new ObjectNotFound(key));
    const bytes = Buffer.alloc(Math.min(end + 1, size) - start);
    const file = openSync(join(this.#folder, key), 'r');
    readSync(file, bytes, 0, bytes.length, start);
    closeSync(file);
    return Promise.resolve({ ...object(key, '', size), metadata: {}, body: Readable.from([bytes]) });
  }

  override delete(keys: readonly string[]): Promise<void> {
    this.#ask(otherMs);
    for (const key of keys) {
      if (!this.#kept.delete(key)) continue;
      rmSync(join(this.#folder, key), { force: true });
    }
    return Promise.resolve();
  }

  /** The sizes of the objects with a prefix below `gc/`, by key. */
  sizesOf(prefix: string): Map<string, number> {
    const found = [...this.#kept].filter(([key]) => key.startsWith(`${kept}${prefix}`));
    return new Map(found.map(([key, { size }]) => [key, size]));
  }

  #folders(prefix: string): Listing {
    const names = [...this.#kept.keys()]
      .filter((key) => key.startsWith(prefix))
      .map((key) => key.slice(0, key.indexOf('/', prefix.length) + 1));
    return { objects: [], prefixes: [...new Set(names)].sort(), next: undefined };
  }

  #objects(prefix: string, startAfter: string): Iterator<ObjectInfo, void> {
    if (prefix === repositories) return this.#links(startAfter);
    if (prefix === blobs) return this.#blobs(startAfter);
    const keys = [...this.#kept]
      .filter(([key]) => key.startsWith(prefix))
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return keys.map(([key, info]) => ({ key, etag: '', ...info }))[Symbol.iterator]();
  }

  *#links(startAfter: string): Generator<ObjectInfo, void> {
    const [, team = 0, app = 0] = /team-(\d+)\/app-(\d+)/.exec(startAfter) ?? [];
    for (let repository = Number(team) * 100 + Number(app); repository < this.#count; repository++) {
      const at = `${repositories}${nameOf(repository)}/`;
      for (const hex of this.#blobsOf(repository).sort()) yield object(`${at}_layers/sha256/${hex}/link`, '');
      const hashes = Array.from({ length: images }, (_, image) =>
        sha256(this.#manifest(repository * images + image)),
      );
      for (const hex of [...hashes].sort()) yield object(`${at}_manifests/revisions/sha256/${hex}/link`, '');
      for (const [image, hex] of hashes.entries()) {
        const tag = `${at}_manifests/tags/v${String(image).padStart(2, '0')}`;
        const isMoved = image === images - 1 && repository % movedEvery === 0;
        const current = (isMoved ? hashes[image - 1] : hex) ?? hex;
        yield object(`${tag}/current/link`, createHash('md5').update(`sha256:${current}`).digest('hex'));
        for (const one of [...new Set([hex, current])].sort())
          yield object(`${tag}/index/sha256/${one}/link`, '');
      }
    }
  }

  /** In order: those of manifests are merged with the others. */
  *#blobs(startAfter: string): Generator<ObjectInfo, void> {
    const from = startAfter.split('/')[6] ?? '';
    let manifest = from === '' ? 0 : this.#placeOf(Buffer.from(from, 'hex'));
    const dataOf = (hex: string) => object(`${blobs}sha256/${hex.slice(0, 2)}/${hex}/data`, '', size);
    for (let place = Number(`0x${from.slice(0, 6) || '0'}`); place < 2 ** spreadBits; place++) {
      const number = Math.imul(place, inverse) & placeMask;
      if (number > this.#count * (ownBlobs + unnamed)) continue;
      const hex = hexOf(number);
      for (; manifest < this.#count * images && this.#hash(manifest).toString('hex') < hex; manifest++)
        yield dataOf(this.#hash(manifest).toString('hex'));
      yield dataOf(hex);
    }
    for (; manifest < this.#count * images; manifest++) yield dataOf(this.#hash(manifest).toString('hex'));
  }

  /** With the layer of all images, which is number 0. */
  #blobsOf(repository: number): string[] {
    const first = 1 + repository * (ownBlobs + unnamed);
    return [hexOf(0), ...Array.from({ length: ownBlobs + unnamed }, (_, i) => hexOf(first + i))];
  }

  #manifest(number: number): Buffer {
    const first =
      1 + Math.floor(number / images) * (ownBlobs + unnamed) + (number % images) * (ownLayers + 1);
    const entry = (blob: number) => ({
      mediaType: 'application/octet-stream',
      size,
      digest: `sha256:${hexOf(blob)}`,
    });
    const layers = [0, ...Array.from({ length: ownLayers }, (_, i) => first + 1 + i)];
    return Buffer.from(JSON.stringify({ schemaVersion: 2, config: entry(first), layers: layers.map(entry) }));
  }

  #sortManifests(): Buffer {
    const count = this.#count * images;
    const unsorted = Buffer.alloc(count * 32);
    for (let number = 0; number < count; number++)
      unsorted.write(sha256(this.#manifest(number)), number * 32, 'hex');
    const hash = (number: number) => unsorted.subarray(number * 32, number * 32 + 32);
    const order = Uint32Array.from({ length: count }, (_, number) => number).sort((a, b) =>
      hash(a).compare(hash(b)),
    );
    const sorted = Buffer.alloc(count * 36);
    order.forEach((number, place) => {
      hash(number).copy(sorted, place * 36);
      sorted.writeUInt32LE(number, place * 36 + 32);
    });
    return sorted;
  }

  #hash(place: number): Buffer {
    return this.#manifests.subarray(place * 36, place * 36 + 32);
  }

  #find(hash: Buffer): number {
    return this.#manifests.readUInt32LE(this.#placeOf(hash) * 36 + 32);
  }

  /** The place of the first manifest with this hash, or one after it. */
  #placeOf(hash: Buffer): number {
    let [low, high] = [0, this.#count * images];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#hash(middle).compare(hash) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function object(key: string, etag: string, size = 71): ObjectInfo {
  return { key, size, etag, lastModified: long };
}

function nameOf(repository: number): string {
  return `team-${String(Math.floor(repository / 100)).padStart(4, '0')}/app-${String(repository % 100).padStart(2, '0')}`;
}

/** As text, the digests of numbers up to 2^24 are in the order of their places. */
function hexOf(number: number): string {
  const place = Math.imul(number, spread) & placeMask;
  const hex = place.toString(16).padStart(6, '0');
  return `${hex}00${hex}${hex}`.padEnd(64, hex);
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** By Newton's iteration, modulo 2^32. */
function inverseOf(odd: number): number {
  let x = odd;
  for (let i = 0; i < 5; i++) x = Math.imul(x, 2 - Math.imul(odd, x));
  return x;
}
