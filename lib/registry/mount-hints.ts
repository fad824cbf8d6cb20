import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { parseRepositoryName, type RepositoryName } from '../protocol/names.ts';
import { deriveKey } from './derived-keys.ts';

const cipher = 'aes-256-gcm';
const nonceSize = 12;
const tagSize = 16;

/** The name of the metadata. */
const field = 'origin';

/**
 * Notes with the bytes of a blob which repository they were pushed to, so that it can be mounted by who does not know one
 * that has it. It is a hint, to be held against the repository's link. Sealed: who pulls by a signed URL sees the metadata,
 * and need not know the names of other repositories.
 */
export class MountHints {
  readonly #keys: readonly Buffer[];

  /** @param secrets the first seals, all are tried; without any nothing is noted */
  constructor(secrets: readonly string[]) {
    this.#keys = secrets.map((secret) => deriveKey(secret, 'stowage origin of a blob'));
  }

  /** Metadata for the bytes of a blob. */
  metadataFor(name: RepositoryName): Readonly<Record<string, string>> {
    const [key] = this.#keys;
    if (key === undefined) return {};
    const nonce = randomBytes(nonceSize);
    const seal = createCipheriv(cipher, key, nonce, { authTagLength: tagSize });
    const sealed = [nonce, seal.update(name, 'utf8'), seal.final(), seal.getAuthTag()];
    return { [field]: Buffer.concat(sealed).toString('base64url') };
  }

  /** @returns undefined where nothing was noted, or with a secret that is not known any more */
  read(metadata: Readonly<Record<string, string>>): RepositoryName | undefined {
    const sealed = Buffer.from(metadata[field] ?? '', 'base64url');
    if (sealed.byteLength <= nonceSize + tagSize) return undefined;
    for (const key of this.#keys) {
      const name = unseal(key, sealed);
      if (name !== undefined) return parseRepositoryName(name);
    }
    return undefined;
  }
}

function unseal(key: Buffer, sealed: Buffer): string | undefined {
  const nonce = sealed.subarray(0, nonceSize);
  const text = sealed.subarray(nonceSize, -tagSize);
  const seal = createDecipheriv(cipher, key, nonce, { authTagLength: tagSize }).setAuthTag(
    sealed.subarray(-tagSize),
  );
  try {
    return Buffer.concat([seal.update(text), seal.final()]).toString('utf8');
  } catch {
    return undefined;
  }
}
