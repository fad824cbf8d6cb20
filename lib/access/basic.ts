import { RegistryError } from '../protocol/errors.ts';

/**
 * Parses an `Authorization: Basic` header (RFC 7617) in UTF-8. Returns undefined without a header.
 * @throws RegistryError UNAUTHORIZED for any other header
 */
export function basicCredentials(
  authorization: string | undefined,
): { readonly user: string; readonly password: string } | undefined {
  if (authorization === undefined) return undefined;
  const [, encoded = ''] = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(authorization) ?? [];
  const text = decode(Buffer.from(encoded, 'base64'));
  const colon = text.indexOf(':');
  // The RFC forbids control characters.
  if (colon < 0 || /[\u0000-\u001f\u007f]/.test(text)) throw new RegistryError('UNAUTHORIZED');
  return { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** One for all: making it takes longer than a request otherwise does. */
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decode(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new RegistryError('UNAUTHORIZED');
  }
}
