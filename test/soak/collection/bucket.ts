import assert from 'node:assert/strict';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { everyObject } from '../../functions/sound-bucket.ts';

/*
 * What a bucket has, and what it should have. Keys and manifests are taken apart here, and not with the code of collections.
 */

const root = 'docker/registry/v2/';
const digestPart = '(sha256)/([0-9a-f]{64})';
const blobKey = new RegExp(`^${root}blobs/(sha256)/[0-9a-f]{2}/([0-9a-f]{64})/data$`);
const layerKey = new RegExp(`^${root}repositories/(.+)/_layers/${digestPart}/link$`);
const revisionKey = new RegExp(`^${root}repositories/(.+)/_manifests/revisions/${digestPart}/link$`);
const tagKey = new RegExp(`^${root}repositories/(.+)/_manifests/tags/([^/]+)/current/link$`);
/** Such as those of cosign. */
const aboutTag = /^(sha256)-([0-9a-f]{64})\.sig$/;
const historyKey = new RegExp(`^${root}repositories/(.+)/_manifests/tags/([^/]+)/index/${digestPart}/link$`);
const referrerKey = new RegExp(`^${root}repositories/(.+)/_referrers/${digestPart}/${digestPart}$`);

/** What garbage collection is about. Links are written as `repository digest`. */
export interface Content {
  readonly blobs: ReadonlySet<string>;
  readonly layers: ReadonlySet<string>;
  readonly manifests: ReadonlySet<string>;
}

export interface BucketState {
  readonly there: Content;
  readonly needed: Content;
  /** The keys of entries in the history of tags and in the index of referrers, with the link of the manifest that each is about. */
  readonly entries: ReadonlyMap<string, string>;
  /** Marks of collections that have not ended. */
  readonly marks: readonly string[];
}

interface Manifest {
  readonly config?: { readonly digest: string };
  readonly layers?: readonly { readonly digest: string }[];
  readonly manifests?: readonly { readonly digest: string }[];
}

/**
 * Reads a bucket that is quiet.
 * @param keepsUntagged whether manifests without tags are needed
 * @throws AssertionError if a needed manifest cannot be read
 */
export async function readBucket(store: ObjectStore, keepsUntagged: boolean): Promise<BucketState> {
  const blobs = new Map<string, string>();
  const layers = new Set<string>();
  const manifests = new Set<string>();
  const roots: [repository: string, digest: string][] = [];
  const referrers = new Map<string, string[]>();
  const tags: { repository: string; tag: string; digest: string }[] = [];
  const tagged = new Set<string>();
  const marks: string[] = [];
  const entries = new Map<string, string>();
  for (const { key } of await everyObject(store)) {
    if (key.startsWith(`${root}gc/marks/`)) marks.push(key);
    const blob = blobKey.exec(key);
    if (blob !== null) {
      blobs.set(`${blob[1]}:${blob[2]}`, key);
    }
    const layer = layerKey.exec(key);
    if (layer !== null) layers.add(`${layer[1]} ${layer[2]}:${layer[3]}`);
    const revision = revisionKey.exec(key);
    if (revision !== null) {
      const [, repository = '', algorithm, hex] = revision;
      manifests.add(`${repository} ${algorithm}:${hex}`);
      if (keepsUntagged) roots.push([repository, `${algorithm}:${hex}`]);
    }
    const tag = tagKey.exec(key);
    if (tag !== null) {
      const digest = (await store.read(key, 200)).bytes.toString();
      tags.push({ repository: tag[1] ?? '', tag: tag[2] ?? '', digest });
      tagged.add(`${tag[1]} ${digest}`);
    }
    const history = historyKey.exec(key);
    if (history !== null) entries.set(key, `${history[1]} ${history[3]}:${history[4]}`);
    const [, repository, ...digests] = referrerKey.exec(key) ?? [];
    if (repository === undefined) continue;
    entries.set(key, `${repository} ${digests[2]}:${digests[3]}`);
    const subject = `${repository} ${digests[0]}:${digests[1]}`;
    referrers.set(subject, [...(referrers.get(subject) ?? []), `${digests[2]}:${digests[3]}`]);
  }
  for (const { repository, tag, digest } of tags) {
    const about = aboutTag.exec(tag);
    const subject = `${repository} ${about?.[1]}:${about?.[2]}`;
    // What is about a manifest that is there goes with it.
    if (manifests.has(subject)) referrers.set(subject, [...(referrers.get(subject) ?? []), digest]);
    else roots.push([repository, digest]);
  }
  const needed = { blobs: new Set<string>(), layers: new Set<string>(), manifests: new Set<string>() };
  const seen = new Set<string>();
  for (let next = roots.pop(); next !== undefined; next = roots.pop()) {
    const [repository, digest] = next;
    const link = `${repository} ${digest}`;
    if (seen.has(link)) continue;
    seen.add(link);
    // A tag whose manifest was deleted at the moment of its push keeps what it points at, and has no link to it.
    if (manifests.has(link) || !tagged.has(link)) needed.manifests.add(link);
    needed.blobs.add(digest);
    const key = blobs.get(digest) ?? assert.fail(`${link} is needed and has no bytes`);
    const {
      config,
      layers: parts = [],
      manifests: children = [],
    } = JSON.parse((await store.read(key, 1_000_000)).bytes.toString()) as Manifest;
    for (const part of config === undefined ? parts : [config, ...parts]) {
      needed.blobs.add(part.digest);
      needed.layers.add(`${repository} ${part.digest}`);
    }
    for (const child of [...children.map((one) => one.digest), ...(referrers.get(link) ?? [])])
      roots.push([repository, child]);
  }
  return { there: { blobs: new Set(blobs.keys()), layers, manifests }, needed, entries, marks };
}

/** What is needed and not there: it should have nothing. */
export function missingFrom({ there, needed }: BucketState): readonly string[] {
  return difference(needed, there);
}

/** What is there and not needed. */
export function garbageIn({ there, needed, entries }: BucketState): readonly string[] {
  const withoutManifest = [...entries].filter(([, link]) => !there.manifests.has(link));
  return [...difference(there, needed), ...withoutManifest.map(([key]) => key)];
}

function difference(all: Content, less: Content): readonly string[] {
  return (['blobs', 'layers', 'manifests'] as const).flatMap((kind) =>
    [...all[kind]].filter((one) => !less[kind].has(one)).map((one) => `${kind.slice(0, -1)} ${one}`),
  );
}
