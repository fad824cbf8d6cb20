import { RegistryError } from './errors.ts';

declare const brand: unique symbol;

/** A digest, `<algorithm>:<hex>`, that has passed {@link parseDigest}: safe to make a key of. */
export type Digest = string & { readonly [brand]: 'Digest' };

/** What content is stored under: the algorithms registered by the OCI Image Spec ("Digests") that registries take. */
export type Algorithm = 'sha256' | 'sha512';

/** What a digest is computed in where nobody says otherwise. */
export const canonicalAlgorithm: Algorithm = 'sha256';

/** Hexadecimal digits of each. */
const hexLength: ReadonlyMap<string, number> = new Map<Algorithm, number>([
  ['sha256', 64],
  ['sha512', 128],
]);

/**
 * Reads a digest of a supported algorithm in lower-case hexadecimal (OCI Image Spec, "Digests").
 * @throws RegistryError DIGEST_INVALID
 */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  const [algorithm = ''] = text.slice(0, 256).split(':', 1);
  if (!hexLength.has(algorithm) && /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/.test(text))
    throw invalid(text, notSupported);
  throw invalid(text);
}

/** The digest that a text is; undefined for anything else. An error each would be much for a list of a million. */
export function digestOrUndefined(text: string | undefined): Digest | undefined {
  return text !== undefined && isDigest(text) ? text : undefined;
}

function isDigest(text: string): text is Digest {
  const [algorithm = '', hex = '', ...rest] = text.slice(0, 256).split(':');
  return hexLength.get(algorithm) === hex.length && rest.length === 0 && /^[0-9a-f]+$/.test(hex);
}

/**
 * Reads the name of a supported algorithm.
 * @throws RegistryError DIGEST_INVALID
 */
export function parseAlgorithm(text: string): Algorithm {
  if (!hexLength.has(text)) throw invalid(text, notSupported);
  return text as Algorithm;
}

/** The digest of content whose hash is known. @param hex lower-case digits @throws RegistryError DIGEST_INVALID */
export function digestFrom(algorithm: Algorithm, hex: string): Digest {
  return parseDigest(`${algorithm}:${hex}`);
}

/** The two halves of a digest. */
export function digestParts(digest: Digest): { readonly algorithm: Algorithm; readonly hex: string } {
  const colon = digest.indexOf(':');
  return { algorithm: digest.slice(0, colon) as Algorithm, hex: digest.slice(colon + 1) };
}

const notSupported = `digest algorithm not supported; use ${[...hexLength.keys()].join(' or ')}`;

function invalid(text: string, message?: string): RegistryError {
  return new RegistryError('DIGEST_INVALID', message, [{ digest: text.slice(0, 256) }]);
}
