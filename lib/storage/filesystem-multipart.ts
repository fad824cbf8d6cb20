import { randomUUID } from 'node:crypto';
import fs, { type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import { hasCode, ignoring } from './file-errors.ts';
import { absence, describe, type Folder, type PendingFile, stamp, syncFolder } from './filesystem-folder.ts';
import type { Sidecars } from './filesystem-metadata.ts';
import { Segments, type Slot } from './filesystem-segments.ts';
import {
  InvalidPart,
  MultipartNotFound,
  type MultipartUpload,
  type MultipartWriter,
  type ObjectInfo,
  type PutOptions,
  type StoreLimits,
  type UploadedPart,
} from './store.ts';

const MiB = 1024 * 1024;

/** Those of S3, so that whatever works here works there. */
export const limits: StoreLimits = {
  minPartSize: 5 * MiB,
  partSize: 8 * MiB,
  maxPartSize: 5 * 1024 * MiB,
  maxParts: 10_000,
  equalParts: false,
  // One after the other they lie in one file, and need not be copied.
  parallelParts: 1,
  // Between processes neither could be held without locks.
  conditionalWrites: false,
};

/** Bytes copied at a time where parts do not lie in one file. */
const chunkSize = MiB;

const uploadIdPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Of an upload, in the file `upload`. */
interface Upload {
  readonly key: string;
  readonly started: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A part on disk. */
interface PartRecord {
  readonly etag: string;
  readonly segment: string;
  readonly offset: number;
  readonly size: number;
}

/**
 * Multipart uploads in a folder, made so that the usual one, written in order by one process, is never copied:
 *
 * ```
 * .tmp/multipart/<id>/upload                                         its key, start and metadata
 *                     <segment>                                      bytes of parts, one after another
 *                     <segment>.sealed                               the same, closed by a completion
 *                     <number>.<etag>.<segment>.<offset>.<size>          record of a part: an empty file
 *                     <number>.<etag>.<segment>.<offset>.<size>.writing  the same while its bytes are written
 * ```
 *
 * Completing takes no claim on the upload, for a claim outlives the process that is killed with it. It renames the
 * first part's segment to the key if that holds the parts and nothing else, or else a copy of the parts; then it throws
 * the upload away. Killed before the rename, the upload is whole and can be completed again. Killed after, a segment
 * that parts name is missing, or all are there and a repetition writes the same object again: a segment leaves its
 * upload only to become the object, so one that is missing means the object was put in place. Two completions at
 * once come to the same: one renames, the other finds the segment gone and says MultipartNotFound.
 *
 * A renamed segment must never be written to again, by whichever process. So a writer makes its `.writing` file first
 * and then opens the segment by its name, and a completion takes that name away first (`.sealed`) and then looks for
 * `.writing` files: either the writer fails to open, or the completion sees it and makes a copy.
 */
export class Multiparts implements MultipartWriter {
  readonly #folder: Folder;
  readonly #sidecars: Sidecars;
  readonly #segments = new Segments();

  constructor(folder: Folder, sidecars: Sidecars) {
    this.#folder = folder;
    this.#sidecars = sidecars;
  }

  async createMultipart(key: string, options: Pick<PutOptions, 'metadata'> = {}): Promise<string> {
    this.#folder.path(key);
    const id = randomUUID();
    const upload: Upload = { key, started: new Date().toISOString(), ...options };
    await this.#folder.guard(key, async () => {
      await this.#create(id, upload);
    });
    return id;
  }

  async uploadPart(key: string, uploadId: string, number: number, bytes: Uint8Array): Promise<UploadedPart> {
    this.#folder.path(key);
    assertPart(key, number, bytes.byteLength);
    if (!uploadIdPattern.test(uploadId)) throw new MultipartNotFound(key);
    return await this.#folder.guard(
      key,
      async () => await this.#write(key, uploadId, number, bytes),
      MultipartNotFound,
    );
  }

  async completeMultipart(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
  ): Promise<ObjectInfo> {
    this.#folder.path(key);
    return await this.#folder.guard(
      key,
      async () => {
        const { metadata } = await this.#find(key, uploadId);
        const records = named(key, parts, await this.#records(uploadId));
        this.#segments.close(uploadId);
        const info =
          (await this.#moveSegment(key, uploadId, records, metadata)) ??
          (await this.#copyParts(key, uploadId, records, metadata));
        await this.#discard(uploadId);
        return info;
      },
      MultipartNotFound,
    );
  }

  async abortMultipart(key: string, uploadId: string): Promise<void> {
    this.#folder.path(key);
    try {
      await this.#folder.guard(key, async () => await this.#find(key, uploadId), MultipartNotFound);
    } catch (error) {
      if (error instanceof MultipartNotFound) return;
      throw error;
    }
    this.#segments.close(uploadId);
    await this.#folder.guard(key, async () => {
      await this.#discard(uploadId);
    });
  }

  async *listMultiparts(prefix: string): AsyncIterable<MultipartUpload> {
    const ids = await this.#folder.guard(prefix, async () => await fs.readdir(this.#folder.multipart));
    for (const uploadId of ids) {
      const upload = await this.#folder.guard(prefix, async () => await this.#read(uploadId));
      if (upload?.key.startsWith(prefix) !== true) continue;
      yield { key: upload.key, uploadId, started: new Date(upload.started) };
    }
  }

  #path(uploadId: string, ...names: string[]): string {
    return join(this.#folder.multipart, uploadId, ...names);
  }

  /** Made aside, so that an upload is never found without its file. */
  async #create(uploadId: string, upload: Upload): Promise<void> {
    const made = this.#folder.unused();
    try {
      await fs.mkdir(made);
      await fs.writeFile(join(made, 'upload'), JSON.stringify(upload), { flush: true });
      await syncFolder(made);
      await fs.rename(made, this.#path(uploadId));
    } catch (error) {
      await fs.rm(made, { recursive: true, force: true });
      throw error;
    }
    await syncFolder(this.#folder.multipart);
  }

  async #read(uploadId: string): Promise<Upload | undefined> {
    const text = await ignoring(absence, fs.readFile(this.#path(uploadId, 'upload'), 'utf8'));
    return text === undefined ? undefined : (JSON.parse(text) as Upload);
  }

  /** The upload with this id, if it is of this key. */
  async #find(key: string, uploadId: string): Promise<Upload> {
    if (!uploadIdPattern.test(uploadId)) throw new MultipartNotFound(key);
    const upload = JSON.parse(await fs.readFile(this.#path(uploadId, 'upload'), 'utf8')) as Upload;
    if (upload.key !== key) throw new MultipartNotFound(key);
    return upload;
  }

  async #write(key: string, uploadId: string, number: number, bytes: Uint8Array): Promise<UploadedPart> {
    const slot = this.#segments.reserve(uploadId, key, number, bytes.byteLength, async (name) => {
      await this.#find(key, uploadId);
      await fs.writeFile(this.#path(uploadId, name), '', { flag: 'wx' });
    });
    try {
      return await this.#writeAt(uploadId, slot, number, bytes);
    } catch (error) {
      this.#segments.close(uploadId, slot.segment);
      // The segment of earlier parts is gone. If the upload is still there, another process tried to complete it.
      if (slot.fresh || !hasCode(error, ['ENOENT'])) throw error;
      return await this.#write(key, uploadId, number, bytes);
    }
  }

  /** Writes a part's bytes, and its record when they are durable. */
  async #writeAt(
    uploadId: string,
    { segment, offset }: Slot,
    number: number,
    bytes: Uint8Array,
  ): Promise<UploadedPart> {
    await segment.begun;
    const etag = randomUUID();
    const size = bytes.byteLength;
    const record = this.#path(uploadId, `${number}.${etag}.${segment.name}.${offset}.${size}`);
    await fs.writeFile(`${record}.writing`, '', { flag: 'wx' });
    try {
      await writeDurably(this.#path(uploadId, segment.name), offset, bytes);
      await fs.rename(`${record}.writing`, record);
    } catch (error) {
      await fs.rm(`${record}.writing`, { force: true });
      throw error;
    }
    await syncFolder(this.#path(uploadId));
    return { number, etag, size };
  }

  /** The records of an upload by number and ETag. */
  async #records(uploadId: string): Promise<ReadonlyMap<string, PartRecord>> {
    const names = await fs.readdir(this.#path(uploadId));
    return new Map(
      names
        .map((name) => name.split('.'))
        .filter((fields) => fields.length === 5)
        .map(([number = '', etag = '', segment = '', offset, size]) => [
          `${number}.${etag}`,
          { etag, segment, offset: Number(offset), size: Number(size) },
        ]),
    );
  }

  /** Makes the first part's segment the object, if it holds these parts and nothing else. */
  async #moveSegment(
    key: string,
    uploadId: string,
    records: readonly [PartRecord, ...PartRecord[]],
    metadata: Upload['metadata'],
  ): Promise<ObjectInfo | undefined> {
    const total = contiguousSize(records);
    if (total === undefined) return undefined;
    const file = await this.#seal(uploadId, records[0].segment);
    if (file?.stats.size !== BigInt(total)) return undefined;
    const info = describe(key, file.stats);
    await this.#sidecars.write(info, metadata);
    await this.#folder.place(file.path, key);
    return info;
  }

  /** Closes a segment to writers; undefined when one is still at it. */
  async #seal(uploadId: string, segment: string): Promise<PendingFile | undefined> {
    const path = this.#path(uploadId, `${segment}.sealed`);
    await ignoring(['ENOENT'], fs.rename(this.#path(uploadId, segment), path));
    const names = await fs.readdir(this.#path(uploadId));
    if (names.some((name) => name.endsWith('.writing') && name.includes(segment))) return undefined;
    // After the look for writers: one that had finished by then has written all it will.
    const stats = await ignoring(['ENOENT'], fs.lstat(path, { bigint: true }));
    return stats === undefined ? await this.#completed(uploadId) : { path, stats };
  }

  async #copyParts(
    key: string,
    uploadId: string,
    records: readonly PartRecord[],
    metadata: Upload['metadata'],
  ): Promise<ObjectInfo> {
    const file = await this.#folder.write(async (target) => {
      for (const record of records) await this.#copyPart(uploadId, record, target);
    });
    // With a guard of its own: that the copy is gone would not mean that the upload is.
    return await this.#folder.guard(key, async () => {
      try {
        const info = describe(key, file.stats);
        await this.#sidecars.write(info, metadata);
        await this.#folder.place(file.path, key);
        return info;
      } catch (error) {
        await fs.rm(file.path, { force: true });
        throw error;
      }
    });
  }

  async #copyPart(
    uploadId: string,
    { segment, offset, size }: PartRecord,
    target: FileHandle,
  ): Promise<void> {
    const source = await this.#openSegment(uploadId, segment);
    try {
      const buffer = Buffer.allocUnsafe(Math.min(chunkSize, size));
      for (let left = size; left > 0;) {
        const { bytesRead } = await source.read(buffer, 0, Math.min(chunkSize, left), offset + size - left);
        if (bytesRead === 0) throw new Error(`segment ${segment} is shorter than its parts`);
        await writeAll(target, buffer.subarray(0, bytesRead));
        left -= bytesRead;
      }
    } finally {
      await source.close();
    }
  }

  async #openSegment(uploadId: string, segment: string): Promise<FileHandle> {
    const path = this.#path(uploadId, segment);
    return (
      (await ignoring(['ENOENT'], fs.open(path))) ??
      (await ignoring(['ENOENT'], fs.open(`${path}.sealed`))) ??
      (await this.#completed(uploadId))
    );
  }

  /** What it means that a segment is missing: the upload was completed, and what is left of it can go. */
  async #completed(uploadId: string): Promise<never> {
    const { key } = (await this.#read(uploadId)) ?? { key: '' };
    await this.#discard(uploadId);
    throw new MultipartNotFound(key);
  }

  /** Renamed first, so that an upload is there whole or not at all. */
  async #discard(uploadId: string): Promise<void> {
    const away = this.#folder.unused();
    await ignoring(['ENOENT'], fs.rename(this.#path(uploadId), away));
    await fs.rm(away, { recursive: true, force: true });
  }
}

function assertPart(key: string, number: number, size: number): void {
  if (!Number.isInteger(number) || number < 1 || number > limits.maxParts) {
    throw new InvalidPart(key, `part ${number} of ${key} is not from 1 to ${limits.maxParts}`);
  }
  if (size > limits.maxPartSize) {
    throw new InvalidPart(key, `part ${number} of ${key} is larger than ${limits.maxPartSize} bytes`);
  }
}

/**
 * The records of the parts a completion names.
 * @throws InvalidPart
 */
function named(
  key: string,
  parts: readonly UploadedPart[],
  records: ReadonlyMap<string, PartRecord>,
): [PartRecord, ...PartRecord[]] {
  const found = parts.map(({ number, etag }, index) => {
    const record = records.get(`${number}.${etag}`);
    const fault =
      record === undefined
        ? 'is not there'
        : number <= (parts[index - 1]?.number ?? 0)
          ? 'is out of order'
          : record.size < limits.minPartSize && index < parts.length - 1
            ? 'is too small'
            : undefined;
    if (record === undefined || fault !== undefined) {
      throw new InvalidPart(key, `part ${number} of ${key} ${fault ?? ''}`);
    }
    return record;
  });
  const [first, ...rest] = found;
  if (first === undefined) throw new InvalidPart(key, `no parts of ${key} are named`);
  return [first, ...rest];
}

/** Bytes of the parts if they lie one after another from the start of one segment. */
function contiguousSize(records: readonly [PartRecord, ...PartRecord[]]): number | undefined {
  let end = 0;
  for (const { segment, offset, size } of records) {
    if (segment !== records[0].segment || offset !== end) return undefined;
    end += size;
  }
  return end;
}

async function writeDurably(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  const handle = await fs.open(path, 'r+');
  try {
    await writeAll(handle, bytes, offset);
    await stamp(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes on until all is written, as one call to the system need not take everything. */
async function writeAll(handle: FileHandle, bytes: Uint8Array, position?: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) {
    const at = position === undefined ? null : position + done;
    done += (await handle.write(bytes, done, bytes.byteLength - done, at)).bytesWritten;
  }
}
