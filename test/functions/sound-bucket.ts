import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { sweep } from '../../lib/registry/sweep.ts';
import type { ObjectInfo, ObjectStore } from '../../lib/storage/store.ts';

/*
 * What must hold of a bucket at any moment, whatever was cut off in its middle. Keys are taken apart here, and not with
 * the code that makes them.
 */

const root = 'docker/registry/v2';
const blobKey = new RegExp(`^${root}/blobs/sha256/([0-9a-f]{2})/([0-9a-f]{64})/data$`);
const uploadKey = new RegExp(`^${root}/uploads/[0-9a-f-]{36}/(session|data-[0-9a-f]+)$`);
const linkKey = new RegExp(
  `^${root}/repositories/(.+)/(_layers|_manifests/revisions|_manifests/tags/[^/]+/(?:current|index))(?:/sha256/([0-9a-f]{64}))?/link$`,
);

export interface Soundness {
  /**
   * Whether clients have deleted blobs, and children of indexes, that manifests still refer to: then only their bytes must
   * be there.
   */
  readonly partsDeleted?: boolean;
}

/**
 * No blob has wrong bytes, no manifest lacks a blob or a child, no tag points nowhere, and nothing lies in the bucket that
 * has no business there.
 */
export async function assertSound(
  store: ObjectStore,
  { partsDeleted = false }: Soundness = {},
): Promise<void> {
  const keys = (await everyObject(store)).map(({ key }) => key);
  const stray = keys.find((key) => ![blobKey, uploadKey, linkKey].some((pattern) => pattern.test(key)));
  assert.equal(stray, undefined);
  const documents = await readBlobs(store, keys);
  const links = await readLinks(store, keys);
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
  for await (const swept of sweep(store, { olderThan: new Date(Date.now() + 3_600_000) })) {
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
async function readBlobs(store: ObjectStore, keys: readonly string[]): Promise<ReadonlyMap<string, Buffer>> {
  const documents = new Map<string, Buffer>();
  for (const key of keys) {
    const [, folder, hex] = blobKey.exec(key) ?? [];
    if (hex === undefined) continue;
    const { bytes } = await store.read(key, Number.MAX_SAFE_INTEGER);
    assert.equal(createHash('sha256').update(bytes).digest('hex'), hex, `${key} has other bytes`);
    assert.equal(hex.slice(0, 2), folder);
    documents.set(`sha256:${hex}`, bytes.length < 100_000 ? bytes : Buffer.alloc(0));
  }
  return documents;
}

interface Link {
  readonly key: string;
  readonly repository: string;
  /** The folders between the repository and the link. */
  readonly kind: string;
  readonly digest: string;
}

async function readLinks(store: ObjectStore, keys: readonly string[]): Promise<readonly Link[]> {
  const links: Link[] = [];
  for (const key of keys) {
    const [, repository, kind, hex] = linkKey.exec(key) ?? [];
    if (repository === undefined || kind === undefined) continue;
    const digest = (await store.read(key, 100)).bytes.toString();
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
