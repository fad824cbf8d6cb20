import { readDuration } from '../protocol/durations.ts';
import { digestOrUndefined, type Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import { inParallel } from '../concurrency/in-parallel.ts';
import { blobData, expiriesKey } from '../registry/layout.ts';
import { asFields, fieldsOf, type Fields } from '../registry/json-fields.ts';
import { undefinedIfDamaged } from '../registry/links.ts';
import { loadManifest } from '../registry/manifests/cache.ts';
import type { ObjectStore } from '../storage/store.ts';

/** The label of quay.io and of ephemeral registries. */
const expiryLabel = 'quay.expires-after';

/** Bytes of a config that is read. A larger one has no label. */
const maxConfigSize = 4 * 1024 * 1024;

/** Manifests of an index that are read. One with more does not expire by their labels. */
const maxChildren = 200;

/** Concurrent reads of the manifests of an index. */
const parallelReads = 8;

/** Labels that are kept of a repository, and the bytes of such an object. */
const maxKept = 50_000;
const maxKeptSize = 16 * 1024 * 1024;

/** How long after its push an image expires, by its label or annotation. */
export interface Expiry {
  /** As it is written: `2w`. */
  readonly text: string;
  readonly ms: number;
}

/**
 * When the images of a repository expire, by their labels. What a manifest says never changes, so it is kept in the bucket between
 * runs: one small object.
 */
export class Expiries {
  readonly #store: ObjectStore;
  readonly #name: RepositoryName;
  /** By digest. */
  readonly #known: ReadonlyMap<string, string>;
  readonly #seen = new Map<Digest, string>();
  #isNew = false;

  private constructor(store: ObjectStore, name: RepositoryName, known: ReadonlyMap<string, string>) {
    this.#store = store;
    this.#name = name;
    this.#known = known;
  }

  static async open(store: ObjectStore, name: RepositoryName): Promise<Expiries> {
    const key = expiriesKey(name);
    const kept = await undefinedIfDamaged(store, key, store.read(key, maxKeptSize));
    return new Expiries(store, name, parseKept(kept?.bytes));
  }

  /** When an image expires; undefined if it does not, or does not say it in a form that is understood. */
  async of(digest: Digest): Promise<Expiry | undefined> {
    const text = this.#known.get(digest) ?? (await this.#read(digest));
    this.#seen.set(digest, text);
    return expiryOf(text);
  }

  /** Keeps what was read for the next run, and forgets the rest. Nothing is lost without it. */
  async save(): Promise<void> {
    if (!this.#isNew) return;
    const labels = Object.fromEntries([...this.#seen].slice(0, maxKept));
    await this.#store.put(expiriesKey(this.#name), Buffer.from(JSON.stringify({ version: 1, labels })));
  }

  async #read(digest: Digest): Promise<string> {
    const manifest = await this.#manifest(digest);
    this.#isNew = true;
    if (manifest === undefined) return '';
    const own = textIn(manifest.fields['annotations']) ?? (await this.#label(manifest));
    return own ?? (await this.#ofIndex(manifest));
  }

  /** Undefined if it is damaged or gone. */
  async #manifest(digest: Digest): Promise<{ readonly fields: Fields } | undefined> {
    const bytes = await undefinedIfDamaged(this.#store, blobData(digest), loadManifest(this.#store, digest));
    const fields = bytes && fieldsOf(bytes);
    return fields && { fields };
  }

  /** The label in the config of an image. */
  async #label({ fields }: { readonly fields: Fields }): Promise<string | undefined> {
    const descriptor = asFields(fields['config']);
    const digest = digestOrUndefined(String(descriptor?.['digest']));
    if (
      digest === undefined ||
      !/^application\/vnd\.(?:docker|oci)\..*image/.test(String(descriptor?.['mediaType']))
    )
      return undefined;
    const key = blobData(digest);
    const read = await undefinedIfDamaged(this.#store, key, this.#store.read(key, maxConfigSize));
    const config = asFields(read && fieldsOf(read.bytes)?.['config']);
    return textIn(config?.['Labels']);
  }

  /** Of an index without an annotation: the last of its images to expire, if each of them does. */
  async #ofIndex({ fields }: { readonly fields: Fields }): Promise<string> {
    const entries = fields['manifests'];
    if (!Array.isArray(entries) || entries.length > maxChildren) return '';
    const children = entries.map(asFields).filter((entry) => entry !== undefined && !isAttestation(entry));
    const texts = await inParallel(children, parallelReads, async (child) => {
      const digest = digestOrUndefined(String(child?.['digest']));
      const manifest = digest && (await this.#manifest(digest));
      if (manifest === undefined) return undefined;
      return textIn(manifest.fields['annotations']) ?? (await this.#label(manifest)) ?? '';
    });
    // Platforms that were not pushed have no say.
    const expiries = texts.filter((text) => text !== undefined).map(expiryOf);
    if (expiries.some((expiry) => expiry === undefined)) return '';
    return (
      expiries.reduce((last, one) => ((one?.ms ?? 0) > (last?.ms ?? 0) ? one : last), undefined)?.text ?? ''
    );
  }
}

/** BuildKit's: about an image of the index, and no image. */
function isAttestation(entry: Fields): boolean {
  return asFields(entry['annotations'])?.['vnd.docker.reference.type'] !== undefined;
}

function expiryOf(text: string): Expiry | undefined {
  const ms = readDuration(text);
  return ms === undefined || ms === 0 ? undefined : { text, ms };
}

/** The label in labels or annotations. */
function textIn(value: unknown): string | undefined {
  const text = asFields(value)?.[expiryLabel];
  return typeof text === 'string' ? text.trim().slice(0, 20) : undefined;
}

/** What an earlier run has kept. Anything else is read from the images again. */
function parseKept(bytes: Buffer | undefined): ReadonlyMap<string, string> {
  const fields = bytes && fieldsOf(bytes);
  const labels = fields?.['version'] === 1 ? asFields(fields['labels']) : undefined;
  return new Map(
    Object.entries(labels ?? {}).flatMap(([digest, text]) =>
      typeof text === 'string' ? [[digest, text]] : [],
    ),
  );
}
