import type { Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Referrer } from '../../protocol/referrers.ts';
import type { Tag } from '../../protocol/tags.ts';
import {
  blobData,
  layerLink,
  referrerKey,
  revisionLink,
  tagIndexLink,
  tagLink,
  uploadSession,
} from '../../registry/layout.ts';

/** Something in the bucket that is not as it should be. */
export interface Finding {
  readonly kind: FindingKind;
  /** `damage` is what clients or `stowage history` notice; `leftover` only takes space. */
  readonly severity: 'damage' | 'leftover';
  /** Of the object that is damaged, missing, or leads nowhere. */
  readonly key: string;
  readonly repository: RepositoryName | undefined;
  /** What is wrong, what follows for users, and what can be done: a sentence each, without a full stop. */
  readonly problem: string;
  readonly effect: string;
  readonly remedy: string;
  /** What mends it without harm to anything; undefined if that needs a person, or what is no longer in the bucket. */
  readonly repair: Repair | undefined;
}

/** Never changed: programs read them. */
export type FindingKind =
  | 'blob-damaged'
  | 'blob-missing'
  | 'blob-size'
  | 'manifest-damaged'
  | 'manifest-missing'
  | 'child-missing'
  | 'layer-link-missing'
  | 'layer-link-dangling'
  | 'link-damaged'
  | 'tag-damaged'
  | 'tag-dangling'
  | 'tag-index-missing'
  | 'referrer-missing'
  | 'referrer-damaged'
  | 'referrer-dangling'
  | 'mount-hint-dangling'
  | 'upload-damaged'
  | 'unreadable';

export type Repair =
  | { readonly action: 'write-link'; readonly key: string; readonly digest: Digest }
  | { readonly action: 'write-referrer'; readonly name: RepositoryName; readonly referrer: Referrer }
  | {
      readonly action: 'delete-referrer';
      readonly name: RepositoryName;
      readonly subject: Digest;
      readonly referrer: Digest;
    }
  | { readonly action: 'delete-session'; readonly key: string; readonly etag: string };

const pushAgain = 'push again an image that has it, from where its bytes are';
const restore = 'restore this object from a backup';
const bySelf = 'nothing needs to be done';

type Texts = Pick<Finding, 'problem' | 'effect' | 'remedy'>;

function damage(
  kind: FindingKind,
  key: string,
  texts: Texts,
  more: Partial<Pick<Finding, 'repository' | 'repair'>> = {},
): Finding {
  return { kind, severity: 'damage', key, repository: undefined, repair: undefined, ...texts, ...more };
}

function leftover(...[kind, key, texts, more]: Parameters<typeof damage>): Finding {
  return { ...damage(kind, key, texts, more), severity: 'leftover' };
}

export function damagedBlob(digest: Digest, actual: Digest): Finding {
  return damage('blob-damaged', blobData(digest), {
    problem: `its bytes have the digest ${actual}`,
    effect: 'clients refuse what they pull',
    remedy: `${restore}; or remove it, and push again every image that has it: while it is there, clients upload no other`,
  });
}

/** @param manifest that needs it */
export function missingBlob(repository: RepositoryName, digest: Digest, manifest: Digest): Finding {
  return damage(
    'blob-missing',
    blobData(digest),
    {
      problem: `it is missing, and the manifest ${manifest} of ${repository} needs it`,
      effect: 'pulls of that image fail with 404',
      remedy: `${restore}, or ${pushAgain}`,
    },
    { repository },
  );
}

/** @param manifest whose signature it is */
export function missingSignature(repository: RepositoryName, digest: Digest, manifest: Digest): Finding {
  return damage(
    'blob-missing',
    blobData(digest),
    {
      problem: `it is missing, and is a signature of the schema 1 manifest ${manifest} of ${repository}`,
      effect: 'the manifest is served without it, which old clients may refuse',
      remedy: restore,
    },
    { repository },
  );
}

export function wrongSize(
  repository: RepositoryName,
  digest: Digest,
  sizes: { readonly by: Digest; readonly named: number; readonly actual: number },
): Finding {
  return damage(
    'blob-size',
    blobData(digest),
    {
      problem: `it has ${sizes.actual} bytes, and the manifest ${sizes.by} of ${repository} says ${sizes.named}`,
      effect: 'clients refuse what they pull',
      remedy: `look whether its digest is right, with --prefix; if it is, push the image again with a right manifest, or else ${restore}`,
    },
    { repository },
  );
}

export function damagedManifest(repository: RepositoryName, digest: Digest, reason: string): Finding {
  return damage(
    'manifest-damaged',
    blobData(digest),
    {
      problem: `it is a manifest of ${repository}, and ${reason}`,
      effect: 'pulls of it fail with 500, and what it needs is unknown',
      remedy: `push the manifest again, which replaces it, or ${restore}`,
    },
    { repository },
  );
}

export function missingManifest(repository: RepositoryName, digest: Digest): Finding {
  return damage(
    'manifest-missing',
    blobData(digest),
    {
      problem: `it is missing, and is linked as a manifest of ${repository}`,
      effect: 'pulls of it, and of tags that point at it, fail with 404',
      remedy: `push the manifest again, or ${restore}, or delete ${digest} from the repository`,
    },
    { repository },
  );
}

export function missingChild(repository: RepositoryName, digest: Digest, index: Digest): Finding {
  return damage(
    'child-missing',
    revisionLink(repository, digest),
    {
      problem: `it is missing, and the index ${index} of ${repository} names it`,
      effect: 'pulls of the index fail for the platform of this entry',
      remedy: 'push the index again with all its images',
    },
    { repository },
  );
}

export function missingLayerLink(repository: RepositoryName, digest: Digest, manifest: Digest): Finding {
  const key = layerLink(repository, digest);
  return damage(
    'layer-link-missing',
    key,
    {
      problem: `it is missing, although the bytes are there and the manifest ${manifest} needs them`,
      effect: 'pulls of that image fail with 404',
      remedy: '--repair writes it; so does another push of the image',
    },
    { repository, repair: { action: 'write-link', key, digest } },
  );
}

export function danglingLayerLink(repository: RepositoryName, digest: Digest): Finding {
  return leftover(
    'layer-link-dangling',
    layerLink(repository, digest),
    {
      problem: 'its bytes are gone, and no manifest of the repository needs them',
      effect: 'none: clients are told that the blob is not there',
      remedy: `${bySelf}; distribution's garbage collection leaves such links`,
    },
    { repository },
  );
}

/** Of a link whose key says what it must hold. */
export function damagedLink(repository: RepositoryName, key: string, digest: Digest): Finding {
  return damage(
    'link-damaged',
    key,
    {
      problem: `it does not hold the digest ${digest}, as its key says`,
      effect: 'distribution does not serve what it leads to; this registry does',
      remedy: '--repair writes it',
    },
    { repository, repair: { action: 'write-link', key, digest } },
  );
}

export function damagedTag(repository: RepositoryName, tag: Tag): Finding {
  return damage(
    'tag-damaged',
    tagLink(repository, tag),
    {
      problem: 'it holds no digest',
      effect: `pulls of ${repository}:${tag} fail with 500`,
      remedy: 'push the tag again, or delete it; its index/ has the digests that it has pointed at',
    },
    { repository },
  );
}

export function danglingTag(repository: RepositoryName, tag: Tag, digest: Digest): Finding {
  return damage(
    'tag-dangling',
    tagLink(repository, tag),
    {
      problem: `it points at the manifest ${digest}, which the repository does not have`,
      effect: `pulls of ${repository}:${tag} fail with 404`,
      remedy: 'push the tag again, or delete it',
    },
    { repository },
  );
}

export function missingTagIndex(repository: RepositoryName, tag: Tag, digest: Digest): Finding {
  const key = tagIndexLink(repository, tag, digest);
  return damage(
    'tag-index-missing',
    key,
    {
      problem: `it is missing, although ${repository}:${tag} points there`,
      effect: 'pulls work; what the tag pointed at is forgotten when it moves',
      remedy: '--repair writes it',
    },
    { repository, repair: { action: 'write-link', key, digest } },
  );
}

export function missingReferrer(repository: RepositoryName, referrer: Referrer): Finding {
  return damage(
    'referrer-missing',
    referrerKey(repository, referrer.subject, referrer.descriptor.digest),
    {
      problem: `it is missing, although the manifest ${referrer.descriptor.digest} has the subject ${referrer.subject}`,
      effect: 'clients that look for signatures and attestations do not find this one',
      remedy: '--repair writes it; so does stowage reindex',
    },
    { repository, repair: { action: 'write-referrer', name: repository, referrer } },
  );
}

/** @param referrer as its manifest says */
export function damagedReferrer(repository: RepositoryName, referrer: Referrer): Finding {
  return damage(
    'referrer-damaged',
    referrerKey(repository, referrer.subject, referrer.descriptor.digest),
    {
      problem: 'it is no descriptor of the manifest in its key',
      effect: 'each list of referrers reads the manifest instead',
      remedy: '--repair writes it',
    },
    { repository, repair: { action: 'write-referrer', name: repository, referrer } },
  );
}

export function danglingReferrer(repository: RepositoryName, subject: Digest, referrer: Digest): Finding {
  return leftover(
    'referrer-dangling',
    referrerKey(repository, subject, referrer),
    {
      problem: 'the repository has no such manifest about this subject',
      effect: 'none: lists of referrers leave it out',
      remedy: '--repair removes it; so does stowage reindex',
    },
    { repository, repair: { action: 'delete-referrer', name: repository, subject, referrer } },
  );
}

export function danglingMountHint(digest: Digest, repository: RepositoryName): Finding {
  return leftover('mount-hint-dangling', blobData(digest), {
    problem: `its metadata say that ${repository} has it, which has it no longer`,
    effect: 'a client that names no source uploads the blob instead of mounting it',
    remedy: bySelf,
  });
}

export function damagedUpload(id: string, etag: string): Finding {
  const key = uploadSession(id);
  return damage(
    'upload-damaged',
    key,
    {
      problem: 'the state of this upload cannot be read',
      effect: 'the client that goes on with it gets 404, and starts again',
      remedy: '--repair removes it; stowage purge-uploads does when it is 7 days old, with its data',
    },
    { repair: { action: 'delete-session', key, etag } },
  );
}

/** @param key of an object or a folder */
export function unreadable(key: string, error: unknown): Finding {
  return damage('unreadable', key, {
    problem: `it cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    effect: 'requests that need it fail with 503',
    remedy: 'look at the disk, and at the rights of the file or object',
  });
}
