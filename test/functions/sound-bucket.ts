import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { purgeUploads } from '../../lib/registry/uploads/purge.ts';
import type { ObjectInfo, ObjectStore } from '../../lib/storage/store.ts';

/*
 * What must hold of a bucket at any moment, whatever was cut off in its middle. Keys are taken apart here, and not with
 * the code that makes them.
 */

const root = 'docker/registry/v2';
const blobKey = new RegExp(`^${root}/blobs/sha256/([0-9a-f]{2})/([0-9a-f]{64})/data$`);
const uploadKey = new RegExp(`^${root}/uploads/[0-9a-f-]{36}/(session|data-[0-9a-f]+)$`);
const recordKey = new RegExp(
  `^${root}/deleted/(.+)/_records/[0-9]{13}-[0-9a-f]{12}(?:-sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{128}))?$`,
);
const linkKey = new RegExp(
  `^${root}/repositories/(.+)/(_layers|_manifests/revisions|_manifests/tags/[^/]+/(?:current|index))(?:/sha256/([0-9a-f]{64}))?/link$`,
);

export interface Soundness {
  /**
   * Whether clients have deleted blobs, and children of indexes, that manifests still refer to: then only their bytes must
   * be there.
   */
  readonly partsDeleted?: boolean;
  /** Remembers what was read, for the next time the same bucket is looked through. */
  readonly memory?: Memory;
}

/** What objects hold, by key and ETag: the bytes of what could be a manifest or a link, none of others. */
export type Memory = Map<string, Buffer>;

/**
 * No blob has wrong bytes, no manifest lacks a blob or a child, no tag points nowhere, and nothing lies in the bucket that
 * has no business there.
 */
export async function assertSound(
  store: ObjectStore,
  { partsDeleted = false, memory = new Map<string, Buffer>() }: Soundness = {},
): Promise<void> {
  const objects = await everyObject(store);
  const stray = objects.find(
    ({ key }) => ![blobKey, uploadKey, recordKey, linkKey].some((pattern) => pattern.test(key)),
  );
  assert.equal(stray, undefined);
  const read = reader(store, memory);
  const documents = await readBlobs(read, objects);
  const links = await readLinks(read, objects);
  const linked = new Set(links.map(({ repository, kind, digest }) => `${repository} ${kind} ${digest}`));
  const assertHas = (owner: string, repository: string, kind: string, digest: string) => {
    assert.ok(documents.has(digest), `${owner} lacks the bytes of ${digest}`);
    assert.ok(
      partsDeleted || linked.has(`${repository} ${kind} ${digest}`),
      `${owner} lacks ${digest} in its repository`,
    );
  };
  for (const { key, repository, kind, digest } of links) {
    if (kind === '_layers') assert.ok(documents.has(digest), `${key} points at no bytes`);
    if (kind.endsWith('/current'))
      assert.ok(linked.has(`${repository} _manifests/revisions ${digest}`), `${key} points at no manifest`);
    if (kind !== '_manifests/revisions') continue;
    const { blobs, manifests } = partsOf(documents.get(digest) ?? assert.fail(`${key} points at no bytes`));
    for (const blob of blobs) assertHas(key, repository, '_layers', blob);
    for (const child of manifests) assertHas(key, repository, '_manifests/revisions', child);
  }
}

/**
 * A sweep takes away all that was left over of uploads.
 * @returns how many uploads there were
 */
export async function assertSwept(store: ObjectStore): Promise<number> {
  let uploads = 0;
  for await (const swept of purgeUploads(store, { olderThan: new Date(Date.now() + 3_600_000) })) {
    assert.notEqual(swept.kind, 'failure', JSON.stringify(swept));
    if (swept.kind === 'upload') uploads++;
  }
  assert.deepEqual(await everyObject(store, `${root}/uploads/`), []);
  for (const prefix of ['uploads/', 'blobs/'])
    for await (const { key } of store.listMultiparts(`${root}/${prefix}`)) assert.fail(`${key} is left`);
  return uploads;
}

export async function everyObject(store: ObjectStore, prefix = ''): Promise<readonly ObjectInfo[]> {
  const objects: ObjectInfo[] = [];
  for (let next: string | undefined = ''; next !== undefined;) {
    const page = await store.list({ prefix, startAfter: next });
    objects.push(...page.objects);
    next = page.next;
  }
  return objects;
}

/** By digest: the bytes of what could be a manifest, and no bytes of others. */
async function readBlobs(read: Read, objects: readonly ObjectInfo[]): Promise<ReadonlyMap<string, Buffer>> {
  const documents = new Map<string, Buffer>();
  for (const object of objects) {
    const [, folder, hex] = blobKey.exec(object.key) ?? [];
    if (hex === undefined) continue;
    const bytes = await read(object, (content) => {
      assert.equal(createHash('sha256').update(content).digest('hex'), hex, `${object.key} has other bytes`);
    });
    assert.equal(hex.slice(0, 2), folder);
    documents.set(`sha256:${hex}`, bytes);
  }
  return documents;
}

/** @param check is called with all bytes when they are read, and may refuse them */
type Read = (object: ObjectInfo, check?: (bytes: Buffer) => void) => Promise<Buffer>;

function reader(store: ObjectStore, memory: Memory): Read {
  return async ({ key, etag }, check) => {
    const name = `${etag} ${key}`;
    const known = memory.get(name);
    if (known !== undefined) return known;
    const { bytes } = await store.read(key, Number.MAX_SAFE_INTEGER);
    check?.(bytes);
    const kept = bytes.length < 100_000 ? bytes : Buffer.alloc(0);
    memory.set(name, kept);
    return kept;
  };
}

interface Link {
  readonly key: string;
  readonly repository: string;
  /** The folders between the repository and the link. */
  readonly kind: string;
  readonly digest: string;
}

async function readLinks(read: Read, objects: readonly ObjectInfo[]): Promise<readonly Link[]> {
  const links: Link[] = [];
  for (const object of objects) {
    const { key } = object;
    const [, repository, kind, hex] = linkKey.exec(key) ?? [];
    if (repository === undefined || kind === undefined) continue;
    const digest = (await read(object)).toString();
    assert.match(digest, /^sha256:[0-9a-f]{64}$/, `${key} holds no digest`);
    if (hex !== undefined) assert.equal(digest, `sha256:${hex}`, `${key} points elsewhere`);
    links.push({ key, repository, kind, digest });
  }
  return links;
}

type Descriptors = readonly { readonly digest: string }[];

function partsOf(manifest: Buffer): { blobs: readonly string[]; manifests: readonly string[] } {
  const {
    config,
    layers = [],
    manifests = [],
  } = JSON.parse(manifest.toString()) as {
    config?: Descriptors[number];
    layers?: Descriptors;
    manifests?: Descriptors;
  };
  const digests = (descriptors: Descriptors) => descriptors.map(({ digest }) => digest);
  return {
    blobs: digests(config === undefined ? layers : [config, ...layers]),
    manifests: digests(manifests),
  };
}
