import { digestFrom } from '../../lib/protocol/digests.ts';
import {
  blobData,
  layerLink,
  referrerKey,
  referrersPrefix,
  revisionLink,
  tagIndexLink,
  tagLink,
} from '../../lib/registry/layout.ts';
import type { Finding, FindingKind } from '../../lib/maintenance/verify/findings.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { multi, v1, type SampleRepository } from './sample-repository.ts';

/** A kind of damage that is made by hand. */
export interface Damage {
  readonly title: string;
  readonly kind: FindingKind;
  readonly severity: Finding['severity'];
  /** Whether `--repair` mends it. */
  readonly mended: boolean;
  /** Whether only hashing finds it. */
  readonly hashed?: boolean;
  /** @returns the key that is reported */
  readonly make: (store: ObjectStore, repository: SampleRepository) => Promise<string>;
}

const garbage = Buffer.from('garbage');
const otherDigest = digestFrom('sha256', '5'.repeat(64));

/** Deletes an object, and returns the key that is reported instead. */
const without =
  (key: (repository: SampleRepository) => string, reported = key): Damage['make'] =>
  async (store, repository) => {
    await store.delete([key(repository)]);
    return reported(repository);
  };

const altered =
  (key: (repository: SampleRepository) => string, bytes = garbage): Damage['make'] =>
  async (store, repository) => {
    await store.put(key(repository), bytes);
    return key(repository);
  };

const damage = (
  title: string,
  kind: FindingKind,
  make: Damage['make'],
  more: Partial<Pick<Damage, 'severity' | 'mended' | 'hashed'>> = {},
): Damage => ({ title, kind, severity: 'damage', mended: false, ...more, make });

export const damages: readonly Damage[] = [
  damage(
    'a layer whose bytes were altered, and are as many as before',
    'blob-damaged',
    altered(({ layer }) => blobData(layer), Buffer.alloc(60)),
    { hashed: true },
  ),
  damage(
    'a layer that was cut off',
    'blob-damaged',
    altered(({ layer }) => blobData(layer), Buffer.alloc(30)),
    { hashed: true },
  ),
  damage(
    'a layer that is missing',
    'blob-missing',
    without(({ layer }) => blobData(layer)),
  ),
  damage('a layer that is missing with its link', 'blob-missing', async (store, { name, layer }) => {
    await store.delete([blobData(layer), layerLink(name, layer)]);
    return blobData(layer);
  }),
  damage(
    'a config that is missing',
    'blob-missing',
    without(({ config }) => blobData(config)),
  ),
  damage(
    'a manifest whose bytes were altered',
    'manifest-damaged',
    altered(({ child }) => blobData(child)),
  ),
  damage(
    'a manifest without bytes',
    'manifest-missing',
    without(({ child }) => blobData(child)),
  ),
  damage('a layer that is linked as a manifest', 'manifest-damaged', async (store, { name, layer }) => {
    await store.put(revisionLink(name, layer), Buffer.from(layer));
    return blobData(layer);
  }),
  damage(
    'a child of an index that the repository does not have',
    'child-missing',
    without(({ name, child }) => revisionLink(name, child)),
  ),
  damage(
    'a layer without its link',
    'layer-link-missing',
    without(({ name, layer }) => layerLink(name, layer)),
    { mended: true },
  ),
  damage(
    'a link without bytes that no manifest needs',
    'layer-link-dangling',
    without(
      ({ unneeded }) => blobData(unneeded),
      ({ name, unneeded }) => layerLink(name, unneeded),
    ),
    { severity: 'leftover' },
  ),
  damage(
    'a link of a layer that holds no digest',
    'link-damaged',
    altered(({ name, layer }) => layerLink(name, layer)),
    { mended: true },
  ),
  damage(
    'a link of a manifest that holds another digest',
    'link-damaged',
    altered(({ name, image }) => revisionLink(name, image), Buffer.from(otherDigest)),
    { mended: true },
  ),
  damage(
    'a tag that holds no digest',
    'tag-damaged',
    altered(({ name }) => tagLink(name, v1)),
  ),
  damage(
    'a tag that points at a manifest which the repository does not have',
    'tag-dangling',
    altered(({ name }) => tagLink(name, v1), Buffer.from(otherDigest)),
  ),
  damage(
    'a tag whose manifest has lost its link',
    'tag-dangling',
    without(
      ({ name, index }) => revisionLink(name, index),
      ({ name }) => tagLink(name, multi),
    ),
  ),
  damage(
    'a tag whose index lacks what it points at',
    'tag-index-missing',
    without(({ name, image }) => tagIndexLink(name, v1, image)),
    { mended: true },
  ),
  damage(
    'a referrer that the index does not have',
    'referrer-missing',
    without(({ name, image, referrer }) => referrerKey(name, image, referrer)),
    { mended: true },
  ),
  damage(
    'an entry of a referrer that is no descriptor',
    'referrer-damaged',
    altered(({ name, image, referrer }) => referrerKey(name, image, referrer)),
    { mended: true },
  ),
  damage(
    'an entry of a referrer that the repository does not have',
    'referrer-dangling',
    without(
      ({ name, referrer }) => revisionLink(name, referrer),
      ({ name, image, referrer }) => referrerKey(name, image, referrer),
    ),
    { severity: 'leftover', mended: true },
  ),
  damage(
    'an upload whose session was altered',
    'upload-damaged',
    altered(({ upload }) => upload),
    { mended: true },
  ),
];

/** Harmless, and not reported. */
export const harmless: readonly Pick<Damage, 'title' | 'make'>[] = [
  {
    title: 'what a tag pointed at before, and is gone',
    make: async (store, { name }) => {
      await store.put(tagIndexLink(name, v1, otherDigest), Buffer.from(otherDigest));
      return '';
    },
  },
  {
    title: 'a referrer without an entry in a repository that was never scanned',
    make: async (store, { name, image, referrer }) => {
      await store.delete([`${referrersPrefix(name)}scanned`, referrerKey(name, image, referrer)]);
      return '';
    },
  },
  {
    title: 'a session of a later release',
    make: async (store, { name, upload }) => {
      await store.put(upload, Buffer.from(`{"version":9,"repository":"${name}","offset":1}\n`));
      return '';
    },
  },
  {
    title: 'the upload of another registry',
    make: async (store, { name }) => {
      await store.put(`docker/registry/v2/repositories/${name}/_uploads/1/startedat`, garbage);
      return '';
    },
  },
];
