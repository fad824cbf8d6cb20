import { createHash } from 'node:crypto';
import fs from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { ignoring } from './file-errors.ts';
import type { Folder } from './filesystem-folder.ts';
import type { ObjectHead, ObjectInfo } from './store.ts';

type Metadata = ObjectHead['metadata'];

/**
 * The metadata of objects, each in a sidecar `.metadata/<xx>/<SHA-256 of the key>`. Named by a hash and not by the key,
 * so that one left behind by another program's delete never stands where a folder is needed.
 *
 * A sidecar names the ETag it belongs to and is written before the object appears. Whatever happens to either of
 * them, it then holds for that content or for none. It is a hint, so it is not synced: after a power cut it may be
 * missing.
 */
export class Sidecars {
  readonly #folder: Folder;

  constructor(folder: Folder) {
    this.#folder = folder;
  }

  async read(info: ObjectInfo): Promise<Metadata> {
    const text = await ignoring(['ENOENT'], fs.readFile(this.#path(info.key), 'utf8'));
    return text === undefined ? {} : metadataOf(text, info.etag);
  }

  async write({ key, etag }: ObjectInfo, metadata: Metadata = {}): Promise<void> {
    if (Object.keys(metadata).length === 0) return;
    await this.#folder.guard(key, async () => {
      await this.#replace(this.#path(key), JSON.stringify({ key, etag, metadata }));
    });
  }

  async #replace(path: string, text: string): Promise<void> {
    const file = this.#folder.unused();
    try {
      await fs.writeFile(file, text, { flag: 'wx' });
      await fs.mkdir(dirname(path), { recursive: true });
      await fs.rename(file, path);
    } catch (error) {
      await fs.rm(file, { force: true });
      throw error;
    }
  }

  async remove(key: string): Promise<void> {
    await ignoring(['ENOENT'], fs.unlink(this.#path(key)));
  }

  #path(key: string): string {
    const name = createHash('sha256').update(key).digest('hex');
    return join(this.#folder.metadata, name.slice(0, 2), name);
  }
}

function metadataOf(text: string, etag: string): Metadata {
  try {
    const sidecar = JSON.parse(text) as { etag: string; metadata: Metadata };
    return sidecar.etag === etag ? sidecar.metadata : {};
  } catch {
    // Torn by a power cut.
    return {};
  }
}
