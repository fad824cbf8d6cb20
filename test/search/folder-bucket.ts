import fs from 'node:fs/promises';
import { join } from 'node:path';

import type { BucketNames } from '../../lib/search/search-backend.ts';

/** A bucket for the processes of a test to share: a folder with an empty file of each repository. */
export class FolderBucket implements BucketNames {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async push(name: string): Promise<void> {
    await fs.writeFile(this.#file(name), '');
  }

  async delete(name: string): Promise<void> {
    await fs.rm(this.#file(name));
  }

  async *all(): AsyncGenerator<string> {
    yield* (await fs.readdir(this.#path)).map((file) => decodeURIComponent(file)).sort();
  }

  async has(name: string): Promise<boolean> {
    return await fs.access(this.#file(name)).then(
      () => true,
      () => false,
    );
  }

  #file(name: string): string {
    return join(this.#path, encodeURIComponent(name));
  }
}
