import type { RepositoryName } from '../protocol/names.ts';
import { EncryptedNames } from './encrypted-names.ts';

/** The name of the metadata entry. */
const field = 'origin';

/**
 * Records, in the metadata of a blob's object, the repository it was pushed to, so that a client that knows no source
 * repository can mount it. The hint is checked against the repository's link. It is encrypted because clients that pull
 * through a signed URL see the metadata.
 */
export class MountHints {
  readonly #names: EncryptedNames;

  /** @param secrets the first encrypts, all decrypt; without any, no hint is recorded */
  constructor(secrets: readonly string[]) {
    this.#names = new EncryptedNames(secrets, 'stowage origin of a blob');
  }

  /** Metadata for a blob that is pushed to this repository. */
  metadataFor(name: RepositoryName): Readonly<Record<string, string>> {
    const encrypted = this.#names.encrypt(name);
    return encrypted === undefined ? {} : { [field]: encrypted };
  }

  /** @returns undefined without a hint, or if none of the secrets decrypts it */
  read(metadata: Readonly<Record<string, string>>): RepositoryName | undefined {
    return this.#names.decrypt(metadata[field] ?? '');
  }
}
