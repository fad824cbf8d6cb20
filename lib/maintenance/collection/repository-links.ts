import type { RepositoryName } from '../../protocol/names.ts';
import type { Tag } from '../../protocol/tags.ts';
import {
  layerLink,
  referrerKey,
  revisionLink,
  signatureLink,
  tagIndexLink,
  tagLink,
} from '../../registry/layout.ts';
import { has, type ListedRepository } from './listed-repository.ts';
import type { SeenRepository } from './look.ts';

/** A link of a repository, or another key that goes with a manifest. */
export interface RepositoryLink {
  readonly kind: 'layer' | 'revision' | 'signature' | 'referrer' | 'tag index' | 'tag';
  /** The number of the digest with which it goes: of its blob or manifest. */
  readonly digest: number;
  readonly isNeeded: boolean;
  readonly isYoung: boolean;
  /** For a tag, or an entry of its history. */
  readonly tag?: string;
  /** The number of another digest in the key: of a signature, or of what a referrer is about. */
  readonly other?: number;
}

/** All links of a repository, of which it is marked what is needed. A tag that cannot be read counts as needed. */
export function* linksOf({
  listed,
  named,
}: Pick<SeenRepository, 'listed' | 'named'>): Generator<RepositoryLink> {
  const { digests, flags, written, signatures, referrers, tags } = listed;
  for (let digest = 0; digest < digests.size; digest++) {
    const isNeeded = flags.has(digest, has.needed);
    if (written.layer.get(digest) > 0)
      yield { kind: 'layer', digest, isNeeded, isYoung: flags.has(digest, has.youngLayer) };
    if (flags.has(digest, has.revision))
      yield { kind: 'revision', digest, isNeeded, isYoung: flags.has(digest, has.youngRevision) };
  }
  const withManifest = (digest: number, isYoung: boolean) => {
    return { digest, isYoung, isNeeded: flags.has(digest, has.needed) };
  };
  for (const { manifest, isYoung, blob } of signatures)
    yield { kind: 'signature', ...withManifest(manifest, isYoung), other: blob };
  for (const { manifest, isYoung, subject } of referrers)
    yield { kind: 'referrer', ...withManifest(manifest, isYoung), other: subject };
  for (const listedTag of tags) {
    const { tag, link, history } = listedTag;
    for (const { manifest, isYoung } of history)
      yield { kind: 'tag index', ...withManifest(manifest, isYoung), tag };
    if (link === undefined) continue;
    const manifest = named.tags.get(listedTag);
    yield manifest === undefined
      ? { kind: 'tag', digest: -1, isNeeded: true, isYoung: link.isYoung, tag }
      : { kind: 'tag', ...withManifest(manifest, link.isYoung), tag };
  }
}

/** The key of a link. */
export function keyOf(
  { name: text, digests }: ListedRepository,
  { kind, digest: number, tag = '', other = -1 }: RepositoryLink,
): string {
  // Nothing of a repository with another name may go.
  const name = text as RepositoryName;
  const digest = digests.get(number);
  switch (kind) {
    case 'layer':
      return layerLink(name, digest);
    case 'revision':
      return revisionLink(name, digest);
    case 'signature':
      return signatureLink(name, digest, digests.get(other));
    case 'referrer':
      return referrerKey(name, digests.get(other), digest);
    case 'tag index':
      return tagIndexLink(name, tag as Tag, digest);
    case 'tag':
      return tagLink(name, tag as Tag);
  }
}
