import { createHash, randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { ignoring } from '../file-errors.ts';
import type { Folder } from './folder.ts';
import { readSmallFile } from './small-files.ts';
import type { ObjectHead, ObjectInfo } from '../store.ts';

type Metadata = ObjectHead['metadata'];

/** The largest sidecar: a key, an ETag and 2 KiB of metadata. */
const maxSidecarBytes = 16 * 1024;

/**
 * The metadata of objects, each in a sidecar file `.metadata/<xx>/<SHA-256 of the key>`. Hashed names ensure that a stale
 * sidecar, left by another program's delete, never blocks a folder.
 *
 * A sidecar is written before its object appears, or just after that if the object must be new. It contains the object's ETag,
 * so it is never used for other content. It is a hint: it is not synced and may be missing after a power cut, and failures to
 * read, write or remove it are ignored.
 */
export class Sidecars {
  readonly #folder: Folder;

  constructor(folder: Folder) {
    this.#folder = folder;
  }

  async read(info: ObjectInfo): Promise<Metadata> {
    const text = await readSmallFile(this.#path(info.key), maxSidecarBytes).catch(() => undefined);
    return text === undefined ? {} : metadataOf(text, info.etag);
  }

  async write({ key, etag }: ObjectInfo, metadata: Metadata = {}): Promise<void> {
    if (Object.keys(metadata).length === 0) return;
    const path = this.#path(key);
    // In the same folder, which may be a separate mount.
    const file = join(this.#folder.metadata, `${randomUUID()}.tmp`);
    try {
      await fs.writeFile(file, JSON.stringify({ key, etag, metadata }), { flag: 'wx' });
      if (
        (await ignoring(
          ['ENOENT'],
          fs.rename(file, path).then(() => true),
        )) !== undefined
      )
        return;
      await ignoring(['EEXIST'], fs.mkdir(dirname(path)));
      await fs.rename(file, path);
    } catch {
      await fs.rm(file, { force: true }).catch(() => undefined);
    }
  }

  async remove(key: string): Promise<void> {
    await fs.unlink(this.#path(key)).catch(() => undefined);
  }

  #path(key: string): string {
    const name = createHash('sha256').update(key).digest('hex');
    return join(this.#folder.metadata, name.slice(0, 2), name);
  }
}

function metadataOf(text: string, etag: string): Metadata {
  try {
    const sidecar = JSON.parse(text) as { etag: string; metadata: unknown };
    return sidecar.etag === etag && areStrings(sidecar.metadata) ? sidecar.metadata : {};
  } catch {
    // Truncated by a power cut.
    return {};
  }
}

function areStrings(value: unknown): value is Metadata {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((one) => typeof one === 'string')
  );
}
