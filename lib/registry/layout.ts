import { digestParts, parseDigest, type Digest } from '../protocol/digests.ts';
import type { RepositoryName } from '../protocol/names.ts';
import type { Tag } from '../protocol/tags.ts';

/*
 * Every key of the bucket is made here. The layout is distribution's, so that either registry can serve the bucket:
 *
 * docker/registry/v2/
 *   blobs/sha256/<first two>/<hex>/data                         the bytes of a layer, config or manifest
 *   repositories/<name>/
 *     _layers/sha256/<hex>/link                                 this repository has the blob
 *     _manifests/revisions/sha256/<hex>/link                    … the manifest
 *     _manifests/tags/<tag>/current/link                        what the tag points at
 *     _manifests/tags/<tag>/index/sha256/<hex>/link             what it has ever pointed at
 *     _uploads/<uuid>/…                                         distribution's uploads: never touched
 *   uploads/<uuid>/session                                      ours: an upload session
 *   uploads/<uuid>/data-<random>                                ours: its bytes, until they are moved to their blob
 *
 * A link's content is the digest it points at. Our uploads lie outside repositories/, where distribution does not look:
 * one under way adds no name to the catalog, and a lifecycle rule can expire them.
 */
const root = 'docker/registry/v2';

export const repositoriesPrefix = `${root}/repositories/`;

export const blobsPrefix = `${root}/blobs/`;

export const uploadsPrefix = `${root}/uploads/`;

/** The names directly below a repository start with an underscore, which a component of a name cannot. */
export const repositoryDelimiter = '/_';

/** Everything of one repository, and nothing of those below it. */
export function repositoryPrefix(name: RepositoryName): string {
  return `${repositoriesPrefix}${name}${repositoryDelimiter}`;
}

export function blobData(digest: Digest): string {
  const { algorithm, hex } = digestParts(digest);
  return `${root}/blobs/${algorithm}/${hex.slice(0, 2)}/${hex}/data`;
}

export function layerLink(name: RepositoryName, digest: Digest): string {
  return `${repositoriesPrefix}${name}/_layers/${digestPath(digest)}/link`;
}

export function revisionLink(name: RepositoryName, digest: Digest): string {
  return `${repositoriesPrefix}${name}/_manifests/revisions/${digestPath(digest)}/link`;
}

export function tagsPrefix(name: RepositoryName): string {
  return `${repositoriesPrefix}${name}/_manifests/tags/`;
}

/** What stands between a tag and its past: rolled up, a listing has one object and one prefix a tag, however old. */
export const tagIndexDelimiter = '/index/';

/** The end of the key of each tag's link. */
export const tagLinkSuffix = '/current/link';

export function tagLink(name: RepositoryName, tag: Tag): string {
  return `${tagsPrefix(name)}${tag}${tagLinkSuffix}`;
}

export function tagIndexLink(name: RepositoryName, tag: Tag, digest: Digest): string {
  return `${tagsPrefix(name)}${tag}${tagIndexDelimiter}${digestPath(digest)}/link`;
}

/** @param id of the upload */
export function uploadSession(id: string): string {
  return `${root}/uploads/${id}/session`;
}

/**
 * @param id of the upload
 * @param attempt a random word. Each multipart upload has a key of its own, so that what appears there can only have
 *   come of that one.
 */
export function uploadData(id: string, attempt: string): string {
  return `${root}/uploads/${id}/data-${attempt}`;
}

/** What a key below {@link uploadsPrefix} is: of which upload, its session or its bytes. */
export interface UploadKey {
  readonly id: string;
  readonly kind: 'session' | 'data';
}

/** The reverse of {@link uploadSession} and {@link uploadData}; undefined for a key that neither makes. */
export function parseUploadKey(key: string): UploadKey | undefined {
  if (!key.startsWith(uploadsPrefix)) return undefined;
  const [, id, kind] = uploadKeyPattern.exec(key.slice(uploadsPrefix.length)) ?? [];
  return id === undefined ? undefined : { id, kind: kind === 'session' ? kind : 'data' };
}

const uploadKeyPattern = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\/(session|data-[0-9A-Za-z]{1,64})$/;

/** Whether {@link blobData} makes this key of some digest. */
export function isBlobData(key: string): boolean {
  if (!key.startsWith(blobsPrefix)) return false;
  const [algorithm, , hex] = key.slice(blobsPrefix.length).split('/');
  try {
    return blobData(parseDigest(`${algorithm}:${hex}`)) === key;
  } catch {
    return false;
  }
}

function digestPath(digest: Digest): string {
  const { algorithm, hex } = digestParts(digest);
  return `${algorithm}/${hex}`;
}
