import { parseDigest, type Digest } from './digests.ts';
import { parseTag, type Tag } from './tags.ts';

/** What names a manifest within a repository: a tag, which may move, or a digest, which is its content. */
export type Reference =
  { readonly kind: 'tag'; readonly tag: Tag } | { readonly kind: 'digest'; readonly digest: Digest };

/**
 * Reads the `<reference>` of a manifest. No tag contains a colon and every digest does.
 * @throws RegistryError TAG_INVALID or DIGEST_INVALID
 */
export function parseReference(text: string): Reference {
  return text.includes(':')
    ? { kind: 'digest', digest: parseDigest(text) }
    : { kind: 'tag', tag: parseTag(text) };
}
