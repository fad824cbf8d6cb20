import { randomUUID } from 'node:crypto';
import { digestOrUndefined, digestParts, type Digest } from '../protocol/digests.ts';
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
 *     _manifests/revisions/sha256/<hex>/signatures/…/link       distribution 2.3's: what a schema 1 manifest was signed with
 *     _manifests/tags/<tag>/current/link                        what the tag points at
 *     _manifests/tags/<tag>/index/sha256/<hex>/link             what it has ever pointed at
 *     _uploads/<uuid>/…                                         distribution's uploads: never touched
 *     _referrers/sha256/<hex of the subject>/sha256/<hex>       ours: the descriptor of a manifest about the subject
 *     _referrers/scanned                                        ours: up to where manifests of others were looked at
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

/** Below it are the links of all manifests of a repository, and the signatures of some. */
export function revisionsPrefix(name: RepositoryName): string {
  return `${repositoriesPrefix}${name}/_manifests/revisions/`;
}

/** Below it are links to the signatures of a schema 1 manifest. */
export function signaturesPrefix(name: RepositoryName, digest: Digest): string {
  return `${revisionsPrefix(name)}${digestPath(digest)}/signatures/`;
}

/** The digest that a key is the {@link revisionLink} of; undefined for any other. */
export function parseRevisionLink(name: RepositoryName, key: string): Digest | undefined {
  const prefix = revisionsPrefix(name);
  const [, algorithm = '', hex = ''] = /^([^/]+)\/([^/]+)\/link$/.exec(key.slice(prefix.length)) ?? [];
  return key.startsWith(prefix) ? digestOrUndefined(`${algorithm}:${hex}`) : undefined;
}

/** Where the index of a repository's referrers is. */
export function referrersPrefix(name: RepositoryName): string {
  return `${repositoriesPrefix}${name}/_referrers/`;
}

export function subjectPrefix(name: RepositoryName, subject: Digest): string {
  return `${referrersPrefix(name)}${digestPath(subject)}/`;
}

export function referrerKey(name: RepositoryName, subject: Digest, referrer: Digest): string {
  return `${subjectPrefix(name, subject)}${digestPath(referrer)}`;
}

/** The digests that a key is the {@link referrerKey} of; undefined for any other. */
export function parseReferrerKey(
  name: RepositoryName,
  key: string,
): { readonly subject: Digest; readonly referrer: Digest } | undefined {
  const prefix = referrersPrefix(name);
  if (!key.startsWith(prefix)) return undefined;
  const [a, b, c, d, ...rest] = key.slice(prefix.length).split('/');
  const [subject, referrer] = [digestOrUndefined(`${a}:${b}`), digestOrUndefined(`${c}:${d}`)];
  return subject === undefined || referrer === undefined || rest.length > 0
    ? undefined
    : { subject, referrer };
}

/** How far the manifests of a repository were looked at for subjects. */
export function referrersScan(name: RepositoryName): string {
  return `${referrersPrefix(name)}scanned`;
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

/** The key of an object, or of a multipart upload, with which a store finds out what its server can do. */
export function probeKey(kind: 'object' | 'multipart'): string {
  const id = randomUUID();
  return kind === 'object' ? uploadSession(id) : uploadData(id, 'probe');
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
  const digest = digestOrUndefined(`${algorithm}:${hex}`);
  return digest !== undefined && blobData(digest) === key;
}

function digestPath(digest: Digest): string {
  const { algorithm, hex } = digestParts(digest);
  return `${algorithm}/${hex}`;
}
