import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import {
  ObjectNotFound,
  type ByteRange,
  type Listing,
  type ListOptions,
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

const long = new Date(0);
const size = 1_000_000;

/** An odd number, by which blobs get digests that are spread, and its inverse modulo 2^24. */
const spread = 0x9e_37_79;
const spreadBits = 24;
const placeMask = 2 ** spreadBits - 1;
const inverse = inverseOf(spread);

/**
 * A bucket of any size whose objects exist only as they are listed or read: each repository has 11 tagged images, and 100 objects in
 * `blobs/` of its own, one of which is garbage. Of these only the digests of manifests are in memory: 36 bytes each.
 */
export class SimulatedBucket extends MemoryStore {
  readonly #count: number;
  readonly #folder: string;
  /** Of all manifests, sorted: hash, and number. */
  readonly #manifests: Buffer;
  #listing:
    { readonly prefix: string; readonly objects: Iterator<ObjectInfo, void>; last: string } | undefined;
  readonly #packs = new Map<string, number>();
  asked = 0;

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

  override list({ prefix = '', startAfter = '' }: ListOptions): Promise<Listing> {
    this.asked += 1;
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

  override read(key: string): ReturnType<MemoryStore['read']> {
    this.asked += 1;
    if (key.startsWith(kept) && !this.#packs.has(key)) return Promise.reject(new ObjectNotFound(key));
    const bytes = key.startsWith(kept)
      ? readFileSync(join(this.#folder, key))
      : this.#manifest(this.#find(Buffer.from(key.split('/')[6] ?? '', 'hex')));
    return Promise.resolve({ ...object(key, '', bytes.length), metadata: {}, bytes });
  }

  override put(key: string, bytes: Uint8Array): Promise<ObjectInfo> {
    this.asked += 1;
    mkdirSync(dirname(join(this.#folder, key)), { recursive: true });
    writeFileSync(join(this.#folder, key), bytes);
    this.#packs.set(key, bytes.length);
    return Promise.resolve(object(key, '', bytes.length));
  }

  override open(
    key: string,
    { start, end = Infinity }: ByteRange = { start: 0 },
  ): ReturnType<MemoryStore['open']> {
    this.asked += 1;
    const bytes = readFileSync(join(this.#folder, key));
    return Promise.resolve({
      ...object(key, '', bytes.length),
      metadata: {},
      body: Readable.from([bytes.subarray(start, end + 1)]),
    });
  }

  override delete(keys: readonly string[]): Promise<void> {
    this.asked += 1;
    for (const key of keys) {
      rmSync(join(this.#folder, key), { force: true });
      this.#packs.delete(key);
    }
    return Promise.resolve();
  }

  /** Bytes of the objects with a prefix below `gc/`. */
  bytesOf(prefix: string): number {
    const found = [...this.#packs].filter(([key]) => key.startsWith(`${kept}${prefix}`));
    return found.reduce((sum, [, size]) => sum + size, 0);
  }

  #objects(prefix: string, startAfter: string): Iterator<ObjectInfo, void> {
    if (prefix === repositories) return this.#links(startAfter);
    if (prefix === blobs) return this.#blobs(startAfter);
    const keys = [...this.#packs]
      .filter(([key]) => key.startsWith(prefix))
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return keys.map(([key, size]) => object(key, '', size))[Symbol.iterator]();
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
        yield object(`${tag}/current/link`, createHash('md5').update(`sha256:${hex}`).digest('hex'));
        yield object(`${tag}/index/sha256/${hex}/link`, '');
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
