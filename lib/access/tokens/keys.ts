import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { deriveKey } from '../../registry/derived-keys.ts';

/*
 * The keys of the tokens that this registry issues. Each kind of token has its own, derived from a secret, so that none is taken
 * for another kind. Rotation: a new secret is set as REGISTRY_AUTH_POLICY_SECRET and the old one as …_PREVIOUS.
 */

/** A public key of access tokens (Ed25519). */
export interface PublicKey {
  /** Names the key in the header of a token. */
  readonly id: string;
  readonly key: KeyObject;
}

export interface PrivateKey extends PublicKey {
  readonly privateKey: KeyObject;
}

/** Before the 32 bytes of a private key in PKCS #8 (RFC 8410, section 7). */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');

/** The key that signs access tokens. */
export function accessTokenKey(secret: string): PrivateKey {
  const seed = deriveKey(secret, 'stowage access tokens');
  const privateKey = createPrivateKey({
    key: Buffer.concat([pkcs8Prefix, seed]),
    format: 'der',
    type: 'pkcs8',
  });
  const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
  return { ...publicKey(x), privateKey };
}

/** The public key that `stowage token keys` prints for a secret: 43 characters of base64url. */
export function publicKeyText(secret: string): string {
  return accessTokenKey(secret).key.export({ format: 'jwk' }).x ?? '';
}

/** Reads what {@link publicKeyText} gives. */
export function publicKey(x: string): PublicKey {
  const id = createHash('sha256').update(x).digest('base64url').slice(0, 12);
  return { id, key: createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }) };
}

/** Keys of tokens that only the token service reads (HMAC-SHA256): the first signs, all are accepted. */
export function refreshTokenKeys(secrets: readonly string[]): readonly Uint8Array[] {
  return secrets.map((secret) => deriveKey(secret, 'stowage refresh tokens'));
}

export function robotTokenKeys(secrets: readonly string[]): readonly Uint8Array[] {
  return secrets.map((secret) => deriveKey(secret, 'stowage robot tokens'));
}
