import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { parseRepositoryName, type RepositoryName } from '../protocol/names.ts';
import { deriveKey } from './derived-keys.ts';

const cipher = 'aes-256-gcm';
const nonceSize = 12;
const tagSize = 16;

/** The name of the metadata entry. */
const field = 'origin';

/**
 * Records, in the metadata of a blob's object, the repository it was pushed to, so that a client that knows no source
 * repository can mount it. The hint is checked against the repository's link. It is encrypted because clients that pull
 * through a signed URL see the metadata.
 */
export class MountHints {
  readonly #keys: readonly Buffer[];

  /** @param secrets the first encrypts, all decrypt; without any, no hint is recorded */
  constructor(secrets: readonly string[]) {
    this.#keys = secrets.map((secret) => deriveKey(secret, 'stowage origin of a blob'));
  }

  /** Metadata for a blob that is pushed to this repository. */
  metadataFor(name: RepositoryName): Readonly<Record<string, string>> {
    const [key] = this.#keys;
    if (key === undefined) return {};
    const nonce = randomBytes(nonceSize);
    const seal = createCipheriv(cipher, key, nonce, { authTagLength: tagSize });
    const sealed = [nonce, seal.update(name, 'utf8'), seal.final(), seal.getAuthTag()];
    return { [field]: Buffer.concat(sealed).toString('base64url') };
  }

  /** @returns undefined without a hint, or if none of the secrets decrypts it */
  read(metadata: Readonly<Record<string, string>>): RepositoryName | undefined {
    const sealed = Buffer.from(metadata[field] ?? '', 'base64url');
    if (sealed.byteLength <= nonceSize + tagSize) return undefined;
    for (const key of this.#keys) {
      const name = decrypt(key, sealed);
      if (name !== undefined) return parseRepositoryName(name);
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
