import { parseDigest, type Digest } from './digests.ts';
import { parseTag, type Tag } from './tags.ts';

/** Names a manifest within a repository: a tag, which may move, or the digest of its content. */
export type Reference =
  { readonly kind: 'tag'; readonly tag: Tag } | { readonly kind: 'digest'; readonly digest: Digest };

/**
 * Reads the `<reference>` of a manifest. Every digest contains a colon and no tag does.
 * @throws RegistryError TAG_INVALID or DIGEST_INVALID
 */
export function parseReference(text: string): Reference {
  return text.includes(':')
    ? { kind: 'digest', digest: parseDigest(text) }
    : { kind: 'tag', tag: parseTag(text) };
}
