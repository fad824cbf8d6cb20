import { hkdfSync } from 'node:crypto';

/** Derives a key of 32 bytes for one purpose from a secret (HKDF-SHA256). Keys for different purposes are independent. */
export function deriveKey(secret: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', purpose, 32));
}
