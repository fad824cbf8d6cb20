import { RegistryError } from './errors.ts';

declare const brand: unique symbol;

/** A digest, `<algorithm>:<hex>`, validated by {@link parseDigest}: safe in keys. */
export type Digest = string & { readonly [brand]: 'Digest' };

/** Digest algorithms of the OCI Image Spec ("Digests") that registries support. */
export type Algorithm = 'sha256' | 'sha512';

/** The default algorithm. */
export const canonicalAlgorithm: Algorithm = 'sha256';

/** Hexadecimal digits by algorithm. */
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

/** A digest, or undefined for any other text: creating errors would be slow for lists of a million. */
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

/** @param hex hash in lower-case digits @throws RegistryError DIGEST_INVALID */
export function digestFrom(algorithm: Algorithm, hex: string): Digest {
  return parseDigest(`${algorithm}:${hex}`);
}

export function digestParts(digest: Digest): { readonly algorithm: Algorithm; readonly hex: string } {
  const colon = digest.indexOf(':');
  return { algorithm: digest.slice(0, colon) as Algorithm, hex: digest.slice(colon + 1) };
}

const notSupported = `digest algorithm not supported; use ${[...hexLength.keys()].join(' or ')}`;

function invalid(text: string, message?: string): RegistryError {
  return new RegistryError('DIGEST_INVALID', message, [{ digest: text.slice(0, 256) }]);
}
