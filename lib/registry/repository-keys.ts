import { digestOrUndefined, type Digest } from '../protocol/digests.ts';
import { isRepositoryName, type RepositoryName } from '../protocol/names.ts';
import { isTag, type Tag } from '../protocol/tags.ts';
import { repositoriesPrefix, repositoryDelimiter } from './layout.ts';

/** A parsed key of a repository. `other` is all that is not an object of this registry or distribution's links. */
export type RepositoryKey = { readonly name: RepositoryName } & (
  | { readonly kind: 'layer'; readonly digest: Digest }
  | { readonly kind: 'revision'; readonly digest: Digest }
  | { readonly kind: 'signature'; readonly manifest: Digest; readonly digest: Digest }
  | { readonly kind: 'tag'; readonly tag: Tag }
  | { readonly kind: 'tag index'; readonly tag: Tag; readonly digest: Digest }
  | { readonly kind: 'referrer'; readonly subject: Digest; readonly referrer: Digest }
  | { readonly kind: 'other' }
);

/** The parts of a key below its repository. */
type Parts = readonly string[];

/**
 * Parses any key of a repository, as layout.ts makes them. In a listing, the keys of a repository follow one another, and are in the
 * order of the kinds: layers, manifests with their signatures, tags, referrers.
 * @returns undefined for a key that is not in a repository
 */
export function parseRepositoryKey(key: string): RepositoryKey | undefined {
  if (!key.startsWith(repositoriesPrefix)) return undefined;
  const end = key.indexOf(repositoryDelimiter, repositoriesPrefix.length);
  const name = key.slice(repositoriesPrefix.length, end);
  if (end < 0 || !isRepositoryName(name)) return undefined;
  return { name, ...parseParts(key.slice(end + 1).split('/')) };
}

function parseParts(parts: Parts): Kinds {
  const [folder, ...rest] = parts;
  if (folder === '_layers') return parseLayer(rest);
  if (folder === '_referrers') return parseReferrer(rest);
  if (folder !== '_manifests') return other;
  const [kind, ...more] = rest;
  return kind === 'revisions' ? parseRevision(more) : kind === 'tags' ? parseTag(more) : other;
}

type Kinds = RepositoryKey extends infer K ? (K extends unknown ? Omit<K, 'name'> : never) : never;

const other: Kinds = { kind: 'other' };

function parseLayer([algorithm, hex, link, ...rest]: Parts): Kinds {
  const digest = digestOf(algorithm, hex);
  return digest === undefined || link !== 'link' || rest.length > 0 ? other : { kind: 'layer', digest };
}

function parseRevision([algorithm, hex, ...rest]: Parts): Kinds {
  const manifest = digestOf(algorithm, hex);
  if (manifest === undefined) return other;
  if (rest.length === 1 && rest[0] === 'link') return { kind: 'revision', digest: manifest };
  const [signatures, signatureAlgorithm, signatureHex, link] = rest;
  const digest = digestOf(signatureAlgorithm, signatureHex);
  const isSignature = signatures === 'signatures' && link === 'link' && rest.length === 4;
  return isSignature && digest !== undefined ? { kind: 'signature', manifest, digest } : other;
}

function parseTag([tag = '', ...rest]: Parts): Kinds {
  if (!isTag(tag)) return other;
  if (rest.join('/') === 'current/link') return { kind: 'tag', tag };
  const [index, algorithm, hex, link] = rest;
  const digest = digestOf(algorithm, hex);
  const isIndex = index === 'index' && link === 'link' && rest.length === 4;
  return isIndex && digest !== undefined ? { kind: 'tag index', tag, digest } : other;
}

function parseReferrer([a, b, c, d, ...rest]: Parts): Kinds {
  const [subject, referrer] = [digestOf(a, b), digestOf(c, d)];
  return subject === undefined || referrer === undefined || rest.length > 0
    ? other
    : { kind: 'referrer', subject, referrer };
}

function digestOf(algorithm: string | undefined, hex: string | undefined): Digest | undefined {
  return digestOrUndefined(`${algorithm ?? ''}:${hex ?? ''}`);
}

/** The digest that a link has in its key, which an undamaged one contains; undefined for a tag's, and any other key. */
export function digestOfLink(key: string): Digest | undefined {
  const parsed = parseRepositoryKey(key);
  const isLink = parsed !== undefined && 'digest' in parsed;
  return isLink ? parsed.digest : undefined;
}
