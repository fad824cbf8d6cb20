import { randomUUID } from 'node:crypto';
import fs, { type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import type { PartSink, PutOptions, UploadedPart } from '../store.ts';
import { syncFolder } from './durable-folders.ts';
import { writeAll } from './file-bytes.ts';
import { stampMtime } from './folder.ts';
import type { Slot } from './segments.ts';
import { discardUpload, unsyncedMark } from './uploads.ts';

/** The place of a part that grows. Its segment was taken and gets no other parts meanwhile. */
interface Place extends Slot {
  /** The upload's folder. */
  readonly upload: string;
  readonly number: number;
  /** Whether its file system is known to be local: all who read the upload have lost its bytes if a power cut has. */
  readonly isLocal: boolean;
  /** Opens the segment to further parts. */
  readonly giveBack: () => void;
}

/**
 * Bytes after which the disk is asked to write what it has, so that little is left for the end: early enough for a chunk of 4 MiB,
 * unless the chunk before did not wait for the disk, and after twice as many each time, since a disk writes many at once faster.
 */
const syncAfterBytes = { first: 2 * 1024 * 1024, firstUnsynced: 8 * 1024 * 1024, most: 32 * 1024 * 1024 };

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
  #syncAfter: number;
  #syncing: Promise<void> | undefined;
  /** A disk reports an error once, so it is kept for the end. */
  #failure: { readonly error: unknown } | undefined;

  private constructor(place: Place, handle: FileHandle, etag: string) {
    this.#place = place;
    this.#handle = handle;
    this.#etag = etag;
    this.#end = place.segment.end;
    this.#syncAfter = place.segment.isMarked ? syncAfterBytes.firstUnsynced : syncAfterBytes.first;
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

  async finish({ transient = false }: Pick<PutOptions, 'transient'> = {}): Promise<UploadedPart> {
    const { upload, segment, number, offset, isLocal, giveBack } = this.#place;
    const etag = this.#etag;
    const size = this.#end - offset;
    const isUnsynced = transient && isLocal;
    try {
      // No upload is ahead of the disk by more than two parts.
      await segment.synced;
      if (!isUnsynced) await this.#syncing;
      if (this.#failure !== undefined) throw this.#failure.error;
      await stampMtime(this.#handle);
      if (isUnsynced) await markUnsynced(this.#place);
      else {
        await this.#handle.sync();
        await this.#handle.close();
      }
      await fs.rename(writingFile(this.#place, etag), `${recordOf(this.#place, etag)}.${size}`);
      // If a power cut takes the record, the upload begins anew.
      if (!isLocal) await syncFolder(upload);
    } catch (error) {
      await this.abort();
      throw error;
    }
    segment.end = this.#end;
    segment.nextPart = number + 1;
    segment.last = { etag, offset };
    if (isUnsynced) segment.synced = this.#syncLater();
    giveBack();
    return { number, etag, size, ...(isUnsynced && { unsynced: true }) };
  }

  /**
   * Lets the disk write the rest while the next part arrives. The file stays open until then, so that an error is not missed; the
   * upload is removed after one, since the bytes may be lost, and a later sync would not say so again. Never rejects.
   */
  async #syncLater(): Promise<void> {
    await this.#syncing;
    try {
      if (this.#failure !== undefined) throw this.#failure.error;
      await this.#handle.datasync();
    } catch {
      await discardUpload(this.#place.upload).catch(() => undefined);
    }
    await this.#handle.close().catch(() => undefined);
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

/**
 * Marks a segment whose bytes are not synced. To the release before this one that is a writer, so it copies the segment and syncs the
 * copy.
 */
async function markUnsynced({ upload, segment }: Place): Promise<void> {
  if (segment.isMarked) return;
  await fs.writeFile(join(upload, unsyncedMark(segment.name)), '');
  segment.isMarked = true;
}

function writingFile(place: Place, etag: string): string {
  return `${recordOf(place, etag)}.0.writing`;
}
