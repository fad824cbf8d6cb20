import { randomUUID } from 'node:crypto';
import fs, { type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import type { PartSink, UploadedPart } from '../store.ts';
import { syncFolder } from './durable-folders.ts';
import { writeAll } from './file-bytes.ts';
import { stampMtime } from './folder.ts';
import type { Slot } from './segments.ts';

/** The place of a part that grows. Its segment was taken and gets no other parts meanwhile. */
interface Place extends Slot {
  /** The upload's folder. */
  readonly upload: string;
  readonly number: number;
  /** Opens the segment to further parts. */
  readonly giveBack: () => void;
}

/**
 * Bytes after which the disk is asked to write what it has, so that little is left for the end: early enough for a chunk of 4 MiB, and
 * after twice as many each time, since a disk writes many at once faster.
 */
const syncAfterBytes = { first: 2 * 1024 * 1024, most: 32 * 1024 * 1024 };

/**
 * A part whose bytes are appended to a segment as they arrive; see {@link FilesystemMultiparts}. Its `.writing` file exists from
 * before the segment is opened until the part ends, so no completion takes the segment for an object meanwhile.
 */
export class GrowingPart implements PartSink {
  readonly #place: Place;
  readonly #handle: FileHandle;
  readonly #etag: string;
  /** Where the next bytes go. */
  #end: number;
  #unsynced = 0;
  #syncAfter = syncAfterBytes.first;
  #syncing: Promise<void> | undefined;
  /** A disk reports an error once, so it is kept for the end. */
  #failure: { readonly error: unknown } | undefined;

  private constructor(place: Place, handle: FileHandle, etag: string) {
    this.#place = place;
    this.#handle = handle;
    this.#etag = etag;
    this.#end = place.segment.end;
  }

  static async open(place: Place): Promise<GrowingPart> {
    const { upload, segment } = place;
    await segment.created;
    const etag = randomUUID();
    const writing = writingFile(place, etag);
    await fs.writeFile(writing, '', { flag: 'wx' });
    try {
      return new GrowingPart(place, await fs.open(join(upload, segment.name), 'r+'), etag);
    } catch (error) {
      await fs.rm(writing, { force: true });
      throw error;
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    await writeAll(this.#handle, bytes, this.#end);
    this.#end += bytes.byteLength;
    this.#unsynced += bytes.byteLength;
    if (this.#unsynced < this.#syncAfter || this.#syncing !== undefined) return;
    this.#unsynced = 0;
    this.#syncAfter = Math.min(2 * this.#syncAfter, syncAfterBytes.most);
    this.#syncing = this.#handle
      .datasync()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .then(() => {
        this.#syncing = undefined;
      });
  }

  async finish(): Promise<UploadedPart> {
    const { upload, segment, number, offset, giveBack } = this.#place;
    const etag = this.#etag;
    const size = this.#end - offset;
    try {
      await this.#syncing;
      if (this.#failure !== undefined) throw this.#failure.error;
      await stampMtime(this.#handle);
      await this.#handle.sync();
      await this.#handle.close();
      await fs.rename(writingFile(this.#place, etag), `${recordOf(this.#place, etag)}.${size}`);
      await syncFolder(upload);
    } catch (error) {
      await this.abort();
      throw error;
    }
    segment.end = this.#end;
    segment.nextPart = number + 1;
    segment.last = { etag, offset };
    giveBack();
    return { number, etag, size };
  }

  async abort(): Promise<void> {
    const { segment, giveBack } = this.#place;
    await this.#syncing;
    // So that the segment still consists of its parts and need not be copied.
    const isCut = await this.#handle.truncate(segment.end).then(
      () => true,
      () => false,
    );
    await this.#handle.close().catch(() => undefined);
    await fs.rm(writingFile(this.#place, this.#etag), { force: true }).catch(() => undefined);
    if (isCut) giveBack();
  }
}

/** The path of a part's record, without its size. */
function recordOf({ upload, segment, number, offset }: Place, etag: string): string {
  return join(upload, `${number}.${etag}.${segment.name}.${offset}`);
}

function writingFile(place: Place, etag: string): string {
  return `${recordOf(place, etag)}.0.writing`;
}
