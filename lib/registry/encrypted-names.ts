import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { parseRepositoryName, type RepositoryName } from '../protocol/names.ts';
import { deriveKey } from './derived-keys.ts';

const cipher = 'aes-256-gcm';
const nonceSize = 12;
const tagSize = 16;

/** Encrypts repository names for clients that may see the ciphertext but not the name. */
export class EncryptedNames {
  readonly #keys: readonly Buffer[];
  readonly #length: number;

  /**
   * @param secrets the first encrypts, all decrypt; without any, nothing is encrypted
   * @param purpose what is encrypted for one purpose is not decrypted for another
   * @param length characters that shorter names are padded to, so that the ciphertext does not tell their length
   */
  constructor(secrets: readonly string[], purpose: string, { length = 0 } = {}) {
    this.#length = length;
    this.#keys = secrets.map((secret) => deriveKey(secret, purpose));
  }

  /** @returns base64url, or undefined without a secret */
  encrypt(name: RepositoryName): string | undefined {
    const [key] = this.#keys;
    if (key === undefined) return undefined;
    const nonce = randomBytes(nonceSize);
    const seal = createCipheriv(cipher, key, nonce, { authTagLength: tagSize });
    const sealed = [nonce, seal.update(name.padEnd(this.#length), 'utf8'), seal.final(), seal.getAuthTag()];
    return Buffer.concat(sealed).toString('base64url');
  }

  /** @returns undefined if the text was altered, or if none of the secrets decrypts it */
  decrypt(text: string): RepositoryName | undefined {
    const sealed = Buffer.from(text, 'base64url');
    if (sealed.byteLength <= nonceSize + tagSize) return undefined;
    for (const key of this.#keys) {
      const name = decrypt(key, sealed);
      if (name !== undefined) return parseRepositoryName(name.trimEnd());
    }
    return undefined;
  }
}

function decrypt(key: Buffer, sealed: Buffer): string | undefined {
  const nonce = sealed.subarray(0, nonceSize);
  const text = sealed.subarray(nonceSize, -tagSize);
  const decipher = createDecipheriv(cipher, key, nonce, { authTagLength: tagSize });
  try {
    decipher.setAuthTag(sealed.subarray(-tagSize));
    return Buffer.concat([decipher.update(text), decipher.final()]).toString('utf8');
  } catch {
    return undefined;
  }
}
