import { hkdfSync } from 'node:crypto';

/** The key that a secret gives for one purpose (HKDF-SHA256): 32 bytes, which say nothing of those for others. */
export function deriveKey(secret: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', purpose, 32));
}
