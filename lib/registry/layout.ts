import { randomUUID } from 'node:crypto';
import { digestOrUndefined, digestParts, type Digest } from '../protocol/digests.ts';
import { isRepositoryName, type RepositoryName } from '../protocol/names.ts';
import type { Reference } from '../protocol/references.ts';
import type { Tag } from '../protocol/tags.ts';
import { namedSuffix } from '../storage/store.ts';

/*
 * All bucket keys are made here. The layout is distribution's, so that either registry can serve the bucket:
 *
 * docker/registry/v2/
 *   blobs/sha256/<first two>/<hex>/data                         the bytes of a layer, config or manifest
 *   repositories/<name>/
 *     _layers/sha256/<hex>/link                                 this repository has the blob
 *     _manifests/revisions/sha256/<hex>/link                    … the manifest
 *     _manifests/revisions/sha256/<hex>/signatures/…/link       distribution 2.3: the signatures of a schema 1 manifest
 *     _manifests/tags/<tag>/current/link                        what the tag points at
 *     _manifests/tags/<tag>/index/sha256/<hex>/link             all manifests it has pointed at
 *     _uploads/<uuid>/…                                         distribution's uploads: never touched
 *     _referrers/sha256/<hex of the subject>/sha256/<hex>       ours: the descriptor of a referrer of the subject
 *     _referrers/scanned                                        ours: progress of the scan for other registries' referrers
 *   uploads/<uuid>/session                                      ours: an upload session
 *   uploads/<uuid>/data-<random>                                ours: its bytes, until they are moved to their blob
 *   gc/references/<name>/_<part>                                ours: what manifests from this repository on name; a cache
 *   gc/marks/<mark>                                             ours: a list of what a collection is going to delete
 *   gc/lists/<mark>/<first digits>                              ours: … its parts
 *   gc/rescued/<mark>/<algorithm>/<hex>                         ours: a writer uses something that is listed there
 *   gc/deleting/<mark>/<id>                                     ours: a deletion that is under way
 *   gc/retired/<mark>                                           ours: nothing more may be deleted under the mark
 *   gc/steps/<run>/…                                            ours: a look for garbage that goes on in another process
 *   gc/plans/<mark>/<look>/…                                    ours: what the second look found is to be deleted
 *   gc/links/<mark>/<part>                                      ours: links that went while the bytes stayed, for a month
 *   gc/looked                                                   ours: when garbage was looked for last
 *   gc/running                                                  ours: when a collection was active last
 *   gc/expiries/<name>/_labels                                  ours: when images of this repository expire, by their labels; a cache
 *
 *   retention/planned/<rule>                                    ours: a rule was planned, so it may be applied
 *   retention/applied                                           ours: how far the rules were applied, and when last
 *   pulled/<name>/_tags/<tag>                                   ours: written when the tag was pulled, once a day
 *   pulled/<name>/_manifests/<algorithm>/<hex>                  ours: … the manifest by its digest
 *   pulled/_since/<rule>                                        ours: from when on pulls of a rule's repositories are recorded
 *
 *   quotas/<quota>/pushed/<hex>-<algorithm>-<bytes>             ours: a blob was pushed since the quota's use was summed
 *   quotas/<quota>/used                                         ours: what its repositories used then
 *
 *   events/pending/<time>-<random>                              ours: what a write is going to change, until its event is delivered
 *   events/damaged/<time>-<random>                              ours: … one that cannot be read
 *
 *   cache/pauses/<upstream>                                     ours: until when another registry does not want to be asked
 *   cache/copies/<upstream>/<algorithm>/<hex>                   ours: a function copies the blob from there
 *
 *   deleted/<name>/
 *     _records/<time>-<id>[-<algorithm>-<hex>]                  ours: what a delete took, until it is too old to come back
 *     _repository/<time>-<id>/<part>                            ours: … what a delete of the whole repository took
 *
 *   events/queue/<endpoint>/<time>-<event>                      ours: an event that an endpoint has not taken yet
 *   events/endpoints/<endpoint>                                 ours: … when it is asked again
 *   events/dead/<endpoint>/<time>-<event>                       ours: an event that was given up
 *   events/lease                                                ours: which process delivers events
 *
 * A link contains the digest it points at. Our uploads are outside repositories/, where distribution does not look: an
 * upload in progress adds no name to the catalog, and a lifecycle rule can expire it.
 */
const root = 'docker/registry/v2';

/** The prefix of all keys. */
export const registryPrefix = `${root}/`;

export const repositoriesPrefix = `${root}/repositories/`;

export const blobsPrefix = `${root}/blobs/`;

export const uploadsPrefix = `${root}/uploads/`;

const collectionPrefix = `${root}/gc/`;

/** What looks for garbage keep between runs. */
export const referencesPrefix = `${collectionPrefix}references/`;

/** What looks for garbage that are done in steps keep from one step to the next. */
export const stepsPrefix = `${collectionPrefix}steps/`;

export function stepsKey(run: string, name: string): string {
  return `${stepsPrefix}${run}/${name}`;
}

/** The run of a {@link stepsKey}; undefined for any other key. */
export function parseStepsKey(key: string): string | undefined {
  if (!key.startsWith(stepsPrefix)) return undefined;
  return /^([^/]+)\/[^/]+$/.exec(key.slice(stepsPrefix.length))?.[1];
}

/*
 * The objects of garbage collections (docs/garbage-collection.md). The id of a mark has 13 digits of its time, so that marks are
 * listed from the oldest, and random ones.
 */

export const marksPrefix = `${collectionPrefix}marks/`;

export function markKey(mark: string): string {
  return `${marksPrefix}${mark}`;
}

/** @param list what its digests begin with, such as `sha256:0f`; without digits, the key ends with `all` */
export function markList(mark: string, list: string): string {
  const [algorithm = '', digits = ''] = list.split(':');
  return `${collectionPrefix}lists/${mark}/${algorithm}/${digits === '' ? 'all' : digits}`;
}

export function rescuesPrefix(mark: string): string {
  return `${collectionPrefix}rescued/${mark}/`;
}

export function rescueKey(mark: string, digest: Digest): string {
  return `${rescuesPrefix(mark)}${digestPath(digest)}`;
}

export function deletionsPrefix(mark: string): string {
  return `${collectionPrefix}deleting/${mark}/`;
}

export function deletionKey(mark: string, id: string): string {
  return `${deletionsPrefix(mark)}${id}`;
}

export const retiredPrefix = `${collectionPrefix}retired/`;

export function retiredKey(mark: string): string {
  return `${retiredPrefix}${mark}`;
}

/** The plans of deletions under a mark. */
export function plansPrefix(mark: string): string {
  return `${collectionPrefix}plans/${mark}/`;
}

/** Records of links that were deleted while their bytes stayed. They outlive their mark. */
export const linkRecordsPrefix = `${collectionPrefix}links/`;

export function linkRecordKey(mark: string, part: string): string {
  return `${linkRecordsPrefix}${mark}/${part}`;
}

/** The mark of a {@link linkRecordKey}. */
export function markOfLinkRecord(key: string): string {
  return key.slice(linkRecordsPrefix.length).split('/', 1)[0] ?? '';
}

/** What there is of marks beside themselves, by mark: the prefix of a folder for each. */
export const markFolders = ['lists', 'plans', 'rescued', 'deleting'].map(
  (folder) => `${collectionPrefix}${folder}/`,
);

/** Written when the last first look in steps was complete. */
export const lookedKey = `${collectionPrefix}looked`;

/** When a collection was active last. */
export const runningKey = `${collectionPrefix}running`;

/** The entries directly below a repository start with an underscore, which a component of a name cannot. */
export const repositoryDelimiter = '/_';

/** The prefix of all keys of one repository, without those of repositories below it. */
export function repositoryPrefix(name: RepositoryName): string {
  return `${repositoriesPrefix}${name}${repositoryDelimiter}`;
}

export function blobData(digest: Digest): string {
  const { algorithm, hex } = digestParts(digest);
  return `${blobsPrefix}${algorithm}/${hex.slice(0, 2)}/${hex}/data`;
}

/** The prefix of the links to a repository's blobs. */
export function layersPrefix(name: RepositoryName): string {
  return `${repositoriesPrefix}${name}/_layers/`;
}

export function layerLink(name: RepositoryName, digest: Digest): string {
  return `${layersPrefix(name)}${digestPath(digest)}/link`;
}

export function revisionLink(name: RepositoryName, digest: Digest): string {
  return `${revisionsPrefix(name)}${digestPath(digest)}/link`;
}

/** The prefix of distribution's uploads to a repository. */
export function foreignUploadsPrefix(name: RepositoryName): string {
  return `${repositoriesPrefix}${name}/_uploads/`;
}

/** The prefix of the links to a repository's manifests, and of signatures of some. */
export function revisionsPrefix(name: RepositoryName): string {
  return `${repositoriesPrefix}${name}/_manifests/revisions/`;
}

export function signaturesPrefix(name: RepositoryName, digest: Digest): string {
  return `${revisionsPrefix(name)}${digestPath(digest)}/signatures/`;
}

/** The link of a signature that distribution 2.3 stored beside a schema 1 manifest. */
export function signatureLink(name: RepositoryName, manifest: Digest, signature: Digest): string {
  return `${signaturesPrefix(name, manifest)}${digestPath(signature)}/link`;
}

/** The digest in a {@link revisionLink}; undefined for any other key. */
export function parseRevisionLink(name: RepositoryName, key: string): Digest | undefined {
  return parseDigestLink(revisionsPrefix(name), key);
}

export function referrersPrefix(name: RepositoryName): string {
  return `${repositoriesPrefix}${name}/_referrers/`;
}

export function subjectPrefix(name: RepositoryName, subject: Digest): string {
  return `${referrersPrefix(name)}${digestPath(subject)}/`;
}

export function referrerKey(name: RepositoryName, subject: Digest, referrer: Digest): string {
  return `${subjectPrefix(name, subject)}${digestPath(referrer)}`;
}

/** The digests in a {@link referrerKey}; undefined for any other key. */
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

/** The key of the scan's progress. */
export function referrersScan(name: RepositoryName): string {
  return `${referrersPrefix(name)}scanned`;
}

export function tagsPrefix(name: RepositoryName): string {
  return `${repositoriesPrefix}${name}/_manifests/tags/`;
}

/** Separates a tag from its history: as a listing's delimiter it gives one object and one prefix for each tag. */
export const tagIndexDelimiter = '/index/';

export const tagLinkSuffix = namedSuffix;

export function tagLink(name: RepositoryName, tag: Tag): string {
  return `${tagsPrefix(name)}${tag}${tagLinkSuffix}`;
}

/** The prefix of the links to all manifests that a tag has pointed at. */
export function tagIndexPrefix(name: RepositoryName, tag: Tag): string {
  return `${tagsPrefix(name)}${tag}${tagIndexDelimiter}`;
}

export function tagIndexLink(name: RepositoryName, tag: Tag, digest: Digest): string {
  return `${tagIndexPrefix(name, tag)}${digestPath(digest)}/link`;
}

/** The digest in a {@link tagIndexLink}; undefined for any other key. */
export function parseTagIndexLink(name: RepositoryName, tag: Tag, key: string): Digest | undefined {
  return parseDigestLink(tagIndexPrefix(name, tag), key);
}

/**
 * The key of a pack of what manifests name. Packs have the order of the repositories, so that both can be read along.
 * @param name of the repository that it begins with
 * @param part of a repository that has several, from 0
 */
export function referencesKey(name: string, part: number): string {
  return `${referencesPrefix}${name}${repositoryDelimiter}${String(part).padStart(6, '0')}`;
}

/** The repository that a pack begins with; undefined for any key that is not a {@link referencesKey}. */
export function parseReferencesKey(key: string): string | undefined {
  if (!key.startsWith(referencesPrefix)) return undefined;
  return /^(.+)\/_\d{6}$/.exec(key.slice(referencesPrefix.length))?.[1];
}

/** What the labels of a repository's images say about when they expire. */
export function expiriesKey(name: RepositoryName): string {
  return `${collectionPrefix}expiries/${name}${repositoryDelimiter}labels`;
}

/** @param rule the fingerprint of a rule for retention */
export function plannedRule(rule: string): string {
  return `${root}/retention/planned/${rule}`;
}

/** How far the rules for retention were applied by a job, and when last. */
export const retentionApplied = `${root}/retention/applied`;

/** When things were pulled. */
export const pulledPrefix = `${root}/pulled/`;

/** The prefix of the records of pulls from one repository. */
export function pullsPrefix(name: RepositoryName): string {
  return `${pulledPrefix}${name}${repositoryDelimiter}`;
}

/** The prefix of the records of pulls by digest from one repository. */
export function pulledManifestsPrefix(name: RepositoryName): string {
  return `${pullsPrefix(name)}manifests/`;
}

/** The record of pulls of a tag, or of a manifest by its digest. */
export function pullRecord(name: RepositoryName, reference: Reference): string {
  return reference.kind === 'tag'
    ? `${pullsPrefix(name)}tags/${reference.tag}`
    : `${pulledManifestsPrefix(name)}${digestPath(reference.digest)}`;
}

/** The digest in a key below {@link pulledManifestsPrefix}; undefined if there is none. */
export function parsePullRecord(name: RepositoryName, key: string): Digest | undefined {
  return digestOrUndefined(key.slice(pulledManifestsPrefix(name).length).replace('/', ':'));
}

/** No repository has this name. */
const sincePrefix = `${pulledPrefix}_since/`;

/** @param rule the fingerprint of what a rule for retention is about */
export function pullsSince(rule: string): string {
  return `${sincePrefix}${rule}`;
}

/** Whether a key below {@link pulledPrefix} is the record of pulls. */
export function isPullRecord(key: string): boolean {
  return key.startsWith(pulledPrefix) && !key.startsWith(sincePrefix);
}

export function uploadSession(id: string): string {
  return `${uploadsPrefix}${id}/session`;
}

/**
 * @param id of the upload
 * @param attempt a random string. Each multipart upload has its own key, so that an object there can only come from it.
 */
export function uploadData(id: string, attempt: string): string {
  return `${uploadsPrefix}${id}/data-${attempt}`;
}

/** What restores deleted tags and repositories. Outside repositories/, where distribution takes every folder for a tag. */
export const deletedPrefix = `${root}/deleted/`;

/** The prefix of the records of deletes in one repository, newest first. */
export function deletionRecordsPrefix(name: RepositoryName): string {
  return `${deletedPrefix}${name}/_records/`;
}

/**
 * @param id distinguishes deletes in the same millisecond
 * @param only the manifest that all in the record is about, if it is one: who wants to know no more need not read it
 */
export function deletionRecord(name: RepositoryName, at: Date, id: string, only?: Digest): string {
  const about = only === undefined ? '' : `-${digestPath(only).replace('/', '-')}`;
  return `${deletionRecordsPrefix(name)}${newestFirst(at)}-${id}${about}`;
}

/** What a {@link deletionRecord} says; undefined for any other key. */
export function parseDeletionRecord(
  name: RepositoryName,
  key: string,
): { readonly at: Date; readonly only: Digest | undefined } | undefined {
  const prefix = deletionRecordsPrefix(name);
  const [, time, algorithm, hex] =
    /^(\d{13})-[0-9a-f]+(?:-(sha\d+)-([0-9a-f]+))?$/.exec(key.slice(prefix.length)) ?? [];
  if (!key.startsWith(prefix) || time === undefined) return undefined;
  return { at: new Date(latestTime - Number(time)), only: digestOrUndefined(`${algorithm}:${hex}`) };
}

/** The prefix of the records of deletes of one whole repository, the newest first. */
export function repositoryDeletionsPrefix(name: RepositoryName): string {
  return `${deletedPrefix}${name}/_repository/`;
}

/** The repository of a record of a delete, and which of a whole repository it is part of; undefined for any other key. */
export function parseDeletedKey(
  key: string,
): { readonly name: RepositoryName; readonly deletion: string | undefined } | undefined {
  if (!key.startsWith(deletedPrefix)) return undefined;
  const [, name = '', deletion] =
    /^(.+)\/_(?:records\/[^/]+|repository\/([^/]+)\/[^/]+)$/.exec(key.slice(deletedPrefix.length)) ?? [];
  return isRepositoryName(name) ? { name, deletion } : undefined;
}

/** The id of a record of a whole repository. @param id distinguishes deletes in the same millisecond */
export function repositoryDeletionId(at: Date, id: string): string {
  return `${newestFirst(at)}-${id}`;
}

/** The key of a part of such a record; with an empty part, the prefix of all of them. */
export function repositoryDeletionPart(name: RepositoryName, deletion: string, part: string): string {
  return `${repositoryDeletionsPrefix(name)}${deletion}/${part}`;
}

/** In the year 2286, in milliseconds. */
const latestTime = 9_999_999_999_999;

/** Milliseconds until then, so that later times come first in a listing. */
function newestFirst(at: Date): string {
  return String(latestTime - at.getTime()).padStart(13, '0');
}

export const quotasPrefix = `${root}/quotas/`;

/** The prefix of what was pushed under a quota. Random digits come first, so that any part of a listing is a fair sample. */
export function quotaPushesPrefix(quota: string): string {
  return `${quotasPrefix}${quota}/pushed/`;
}

/**
 * @param random eight hexadecimal digits that no client can choose, as it can those of digests: small blobs would hide large ones
 * @param size in bytes
 */
export function quotaPush(quota: string, random: string, digest: Digest, size: number): string {
  const { algorithm, hex } = digestParts(digest);
  return `${quotaPushesPrefix(quota)}${random}-${hex}-${algorithm}-${size}`;
}

/** The inverse of {@link quotaPush}; undefined for any other key. */
export function parseQuotaPush(
  key: string,
):
  | { readonly quota: string; readonly random: string; readonly digest: Digest; readonly size: number }
  | undefined {
  const [, quota, random = '', hex = '', algorithm = '', size] =
    /^([0-9a-f]{16})\/pushed\/([0-9a-f]{8})-([0-9a-f]+)-(sha\d+)-(\d{1,15})$/.exec(
      key.slice(quotasPrefix.length),
    ) ?? [];
  const digest = digestOrUndefined(`${algorithm}:${hex}`);
  if (!key.startsWith(quotasPrefix) || quota === undefined || digest === undefined) return undefined;
  return { quota, random, digest, size: Number(size) };
}

export function quotaUsed(quota: string): string {
  return `${quotasPrefix}${quota}/used`;
}

export const eventsPrefix = `${root}/events/`;

/** Intents of writes, the oldest first, as far as the clocks of the writers agree. */
export const pendingPrefix = `${eventsPrefix}pending/`;

/** @param random distinguishes intents of the same millisecond */
export function pendingIntent(at: Date, random: string): string {
  return `${pendingPrefix}${String(at.getTime()).padStart(13, '0')}-${random}`;
}

/** Where a damaged {@link pendingIntent} is moved to. */
export function damagedIntent(key: string): string {
  return `${eventsPrefix}damaged/${key.slice(pendingPrefix.length)}`;
}

/** The listing of the folders of events that are not empty. */
export const eventFolders = { prefix: eventsPrefix, delimiter: '/' };

export const deliveryLease = `${eventsPrefix}lease`;

export const endpointStatesPrefix = `${eventsPrefix}endpoints/`;

export function endpointState(endpoint: string): string {
  return `${endpointStatesPrefix}${endpoint}`;
}

/** The endpoint of an {@link endpointState}; undefined for any other key. */
export function parseEndpointState(key: string): string | undefined {
  return key.startsWith(endpointStatesPrefix) ? key.slice(endpointStatesPrefix.length) : undefined;
}

/** What endpoints have not taken: a folder for each. It waits, in the order of delivery, or was given up. */
export function eventsPrefixOf(folder: 'queue' | 'dead', endpoint?: string): string {
  return `${eventsPrefix}${folder}/${endpoint === undefined ? '' : `${endpoint}/`}`;
}

/** Until when an upstream does not want to be asked. @param upstream hexadecimal digits that stand for it */
export function upstreamPause(upstream: string): string {
  return `${root}/cache/pauses/${upstream}`;
}

/** What functions keep of the blobs that they copy from upstreams. */
export const copyClaimsPrefix = `${root}/cache/copies/`;

/** Which function copies a blob from an upstream. @param upstream hexadecimal digits that stand for it */
export function copyClaim(upstream: string, digest: Digest): string {
  return `${copyClaimsPrefix}${upstream}/${digestPath(digest)}`;
}

/** A key for probing what a store's server supports. */
export function probeKey(kind: 'object' | 'multipart'): string {
  const id = randomUUID();
  return kind === 'object' ? uploadSession(id) : uploadData(id, 'probe');
}

/** A parsed key below {@link uploadsPrefix}. */
export interface UploadKey {
  readonly id: string;
  readonly kind: 'session' | 'data';
}

/** The inverse of {@link uploadSession} and {@link uploadData}; undefined for any other key. */
export function parseUploadKey(key: string): UploadKey | undefined {
  if (!key.startsWith(uploadsPrefix)) return undefined;
  const [, id, kind] = uploadKeyPattern.exec(key.slice(uploadsPrefix.length)) ?? [];
  return id === undefined ? undefined : { id, kind: kind === 'session' ? kind : 'data' };
}

const uploadKeyPattern = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\/(session|data-[0-9A-Za-z]{1,64})$/;

/** Whether a key is the {@link blobData} of some digest. */
export function isBlobData(key: string): boolean {
  return parseBlobData(key) !== undefined;
}

/** The inverse of {@link blobData}; undefined for any other key. */
export function parseBlobData(key: string): Digest | undefined {
  if (!key.startsWith(blobsPrefix)) return undefined;
  const [algorithm, , hex] = key.slice(blobsPrefix.length).split('/');
  const digest = digestOrUndefined(`${algorithm}:${hex}`);
  return digest !== undefined && blobData(digest) === key ? digest : undefined;
}

/** The digest in `<prefix><algorithm>/<hex>/link`; undefined for any other key. */
function parseDigestLink(prefix: string, key: string): Digest | undefined {
  const [, algorithm = '', hex = ''] = /^([^/]+)\/([^/]+)\/link$/.exec(key.slice(prefix.length)) ?? [];
  return key.startsWith(prefix) ? digestOrUndefined(`${algorithm}:${hex}`) : undefined;
}

function digestPath(digest: Digest): string {
  const { algorithm, hex } = digestParts(digest);
  return `${algorithm}/${hex}`;
}
