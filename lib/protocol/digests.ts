import { RegistryError } from './errors.ts';

declare const brand: unique symbol;

/** A digest, `<algorithm>:<hex>`, that has passed {@link parseDigest}: safe to make a key of. */
export type Digest = string & { readonly [brand]: 'Digest' };

/** Hexadecimal digits of each algorithm that content is stored under. */
const hexLength: ReadonlyMap<string, number> = new Map([['sha256', 64]]);

/**
 * Reads a digest of a supported algorithm in lower-case hexadecimal (OCI Image Spec, "Digests").
 * @throws RegistryError DIGEST_INVALID
 */
export function parseDigest(text: string): Digest {
  const [algorithm = '', hex = '', ...rest] = text.slice(0, 256).split(':');
  const length = hexLength.get(algorithm);
  if (length === undefined && /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/.test(text))
    throw invalid(text, `digest algorithm not supported; use ${[...hexLength.keys()].join(', ')}`);
  if (length !== hex.length || rest.length > 0 || !/^[0-9a-f]+$/.test(hex)) throw invalid(text);
  return text as Digest;
}

/** The digest of content whose SHA-256 is known. @param hex 64 lower-case digits */
export function sha256Digest(hex: string): Digest {
  return parseDigest(`sha256:${hex}`);
}

/** The two halves of a digest. */
export function digestParts(digest: Digest): { readonly algorithm: string; readonly hex: string } {
  const colon = digest.indexOf(':');
  return { algorithm: digest.slice(0, colon), hex: digest.slice(colon + 1) };
}

function invalid(text: string, message?: string): RegistryError {
  return new RegistryError('DIGEST_INVALID', message, [{ digest: text.slice(0, 256) }]);
}
