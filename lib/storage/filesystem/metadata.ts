import { createHash, randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { ignoring } from '../file-errors.ts';
import type { Folder } from './folder.ts';
import { readSmallFile } from './small-files.ts';
import type { ObjectHead, ObjectInfo } from '../store.ts';

type Metadata = ObjectHead['metadata'];

/** Bytes of a sidecar: a key, an ETag and 2 KiB of metadata. */
const maxSize = 16 * 1024;

/**
 * The metadata of objects, each in a sidecar `.metadata/<xx>/<SHA-256 of the key>`. Named by a hash and not by the key,
 * so that one left behind by another program's delete never stands where a folder is needed.
 *
 * A sidecar names the ETag it belongs to and is written before the object appears. Whatever happens to either of
 * them, it then holds for that content or for none. It is a hint, so it is not synced: after a power cut it may be
 * missing. For the same reason nothing fails where one cannot be read, written or removed.
 */
export class Sidecars {
  readonly #folder: Folder;

  constructor(folder: Folder) {
    this.#folder = folder;
  }

  async read(info: ObjectInfo): Promise<Metadata> {
    const text = await readSmallFile(this.#path(info.key), maxSize).catch(() => undefined);
    return text === undefined ? {} : metadataOf(text, info.etag);
  }

  async write({ key, etag }: ObjectInfo, metadata: Metadata = {}): Promise<void> {
    if (Object.keys(metadata).length === 0) return;
    const path = this.#path(key);
    // Beside the sidecars, which may be a mount of their own.
    const file = join(this.#folder.metadata, `${randomUUID()}.tmp`);
    try {
      await ignoring(['EEXIST'], fs.mkdir(dirname(path)));
      await fs.writeFile(file, JSON.stringify({ key, etag, metadata }), { flag: 'wx' });
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
    return sidecar.etag === etag && areTexts(sidecar.metadata) ? sidecar.metadata : {};
  } catch {
    // Torn by a power cut.
    return {};
  }
}

function areTexts(value: unknown): value is Metadata {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((text) => typeof text === 'string')
  );
}
