import { assertKey, InvalidKey } from './store.ts';

/** Maps keys to those of the bucket, which are below its root directory. */
export class RootDirectory {
  readonly #folder: string;

  /** @param path without leading or trailing slash; empty for the top of the bucket */
  constructor(path: string) {
    this.#folder = path === '' ? '' : `${path}/`;
  }

  /** The key in the bucket. @throws InvalidKey */
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

  /** The prefix in the bucket, for any prefix. */
  prefix(prefix: string): string {
    return this.#folder + prefix;
  }

  /** The registry's key for one of the bucket. */
  ownKey(fullKey: string): string {
    return fullKey.slice(this.#folder.length);
  }
}
