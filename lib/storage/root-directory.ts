import { assertKey, InvalidKey } from './store.ts';

/** The folder of a bucket that everything lies below. */
export class RootDirectory {
  readonly #folder: string;

  /** @param path without slashes at its ends; empty for the bucket itself */
  constructor(path: string) {
    this.#folder = path === '' ? '' : `${path}/`;
  }

  /** The key as the bucket has it. @throws InvalidKey */
  fullKey(key: string): string {
    assertKey(key);
    const full = this.prefix(key);
    if (Buffer.byteLength(full) > 1024)
      throw new InvalidKey(
        key,
        `object key ${JSON.stringify(key)} has more than 1024 bytes below the root directory`,
      );
    return full;
  }

  /** The same for a beginning of keys, which may be anything. */
  prefix(prefix: string): string {
    return this.#folder + prefix;
  }

  /** The key as the registry knows it. */
  ownKey(fullKey: string): string {
    return fullKey.slice(this.#folder.length);
  }
}
