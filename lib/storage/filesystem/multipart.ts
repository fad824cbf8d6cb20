import { randomUUID } from 'node:crypto';
import fs, { type FileHandle } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';

import { createObjects, type NewFile } from './create-objects.ts';
import { syncFolder } from './durable-folders.ts';
import { copyBytes, readRange, writeAll } from './file-bytes.ts';
import { notFoundCodes, hasCode, ignoring } from '../file-errors.ts';
import { objectInfo, type Folder, type PendingFile, stampMtime } from './folder.ts';
import { GrowingPart } from './growing-part.ts';
import { Sidecars } from './metadata.ts';
import type { Mount } from './mounts.ts';
import type { Content } from './pending-file.ts';
import { Segments, type Slot } from './segments.ts';
import { multipartsOf } from './temporary.ts';
import { discardUpload, readUpload, unsyncedMark, type Upload, uploadIdPattern } from './uploads.ts';
import {
  InvalidPart,
  MultipartNotFound,
  type MultipartUpload,
  type MultipartWriter,
  type ObjectInfo,
  type PartSink,
  type PutOptions,
  s3Limits,
  type StoreLimits,
  type UploadedPart,
} from '../store.ts';

const limits: Omit<StoreLimits, 'honoursOnlyIfAbsent'> = {
  ...s3Limits,
  partSize: 8 * 1024 ** 2,
  equalParts: false,
  // Sequential parts share a file and need no copy; a part is best written as its bytes arrive, with `openPart`.
  parallelParts: 1,
  replacesParts: false,
  // It would need locks between processes.
  honoursIfMatch: false,
};

type WriteOptions = Pick<PutOptions, 'onlyIfAbsent' | 'transient'> & {
  readonly metadata?: PutOptions['metadata'] | undefined;
};

/** A part on disk. */
interface PartRecord {
  readonly etag: string;
  readonly segment: string;
  readonly offset: number;
  readonly size: number;
}

/**
 * Multipart uploads in a folder. The usual upload, written in order by one process, is never copied. Uploads are on the mount
 * of their key (see {@link Mounts}):
 *
 * ```
 * .tmp/multipart/<id>/upload                                         key, start time and metadata
 *                     <segment>                                      bytes of consecutive parts
 *                     <segment>.sealed                               the same, closed by a completion
 *                     <number>.<etag>.<segment>.<offset>.<size>          record of a part: an empty file
 *                     <number>.<etag>.<segment>.<offset>.<size>.writing  the same while its bytes are written
 *                     unsynced.<segment>.writing                     the segment has bytes that may not be synced
 * ```
 *
 * An upload need not survive a power cut, so on a local file system nothing here is synced but the bytes of parts, and those of
 * transient parts only when the object is made. A file system on a server may lose what was not synced while this machine lives on,
 * so there everything is.
 *
 * Completion takes no lock, since a lock would outlive a killed process. It renames the first part's segment to the key if the
 * segment consists of exactly these parts, or else a copy of the parts; then it deletes the upload. If it is killed before the
 * rename, the upload is unchanged and can be completed again. If it is killed after the rename, either a segment is missing,
 * which means that the object is in place, because a segment leaves its upload only to become the object; or all segments
 * are there, and a retry writes the same object again. Of two concurrent completions, one renames, and the other finds the
 * segment gone and throws MultipartNotFound.
 *
 * No process may write to a segment after its rename. So a writer creates its `.writing` file before it opens the segment by
 * name, and a completion renames the segment (`.sealed`) before it checks for `.writing` files: either the writer fails to
 * open the segment, or the completion sees the writer and copies.
 */
export class FilesystemMultiparts implements MultipartWriter {
  protected readonly folder: Folder;
  protected readonly sidecars: Sidecars;
  readonly #segments = new Segments();

  constructor(folder: Folder) {
    this.folder = folder;
    this.sidecars = new Sidecars(folder);
  }

  /** Conditions need hard links, which network file systems may lack. */
  get limits(): StoreLimits {
    return { ...limits, honoursOnlyIfAbsent: this.folder.mounts.all.every(({ hardLinks }) => hardLinks) };
  }

  async createMultipart(key: string, options: Pick<PutOptions, 'metadata'> = {}): Promise<string> {
    const path = this.folder.path(key);
    const id = randomUUID();
    const upload: Upload = { key, started: new Date().toISOString(), ...options };
    await this.folder.guard(key, async () => {
      const [mount] = this.folder.mounts.shared(path);
      await this.folder.ensureTemporary(mount);
      await createUpload(multipartsOf(mount), id, upload, this.folder.isLocal(mount));
    });
    return id;
  }

  async uploadPart(key: string, uploadId: string, number: number, bytes: Uint8Array): Promise<UploadedPart> {
    this.folder.path(key);
    assertPart(key, number, bytes.byteLength);
    return await this.#withUpload(
      key,
      uploadId,
      async (upload, isLocal) => await this.#write(key, upload, number, bytes, isLocal),
    );
  }

  async openPart(
    key: string,
    uploadId: string,
    number: number,
    continued?: UploadedPart,
  ): Promise<PartSink | undefined> {
    this.folder.path(key);
    assertPart(key, number, 0);
    const guard = async <T>(work: () => Promise<T>) => await this.folder.guard(key, work, MultipartNotFound);
    const part = await this.#withUpload(
      key,
      uploadId,
      async (upload, isLocal) => await this.#openPart(key, upload, number, isLocal, continued),
    );
    return (
      part && {
        write: async (bytes) => {
          await guard(async () => {
            await part.write(bytes);
          });
        },
        finish: async (options) => await guard(async () => await part.finish(options)),
        abort: async () => {
          await part.abort();
        },
      }
    );
  }

  async *readParts(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
    start: number,
  ): AsyncGenerator<Uint8Array, void> {
    const guard = async <T>(work: () => Promise<T>) => await this.folder.guard(key, work, MultipartNotFound);
    const [upload, records] = await this.#withUpload(key, uploadId, async (folder) => {
      await readOwn(key, folder);
      return [folder, select(key, parts, await recordsOf(folder))];
    });
    let skipped = start;
    for (const { segment, offset, size } of records) {
      const range = { offset: offset + skipped, size: size - skipped };
      skipped = Math.max(0, skipped - size);
      if (range.size <= 0) continue;
      const source = await guard(async () => await openSegment(upload, segment));
      try {
        const isCut = (await source.stat()).size < offset + size;
        if (isCut) throw new InvalidPart(key, `a power cut has shortened the parts of ${key}`);
        const pieces = readRange(source, range);
        for (;;) {
          const { done, value } = await guard(async () => await pieces.next());
          if (done === true) break;
          yield value;
        }
      } finally {
        await source.close();
      }
    }
  }

  async completeMultipart(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
  ): Promise<ObjectInfo> {
    return await this.#withUpload(key, uploadId, async (upload) => {
      await this.#segments.synced(uploadId);
      const { metadata } = await readOwn(key, upload);
      const records = select(key, parts, await recordsOf(upload));
      this.#segments.close(uploadId);
      const isUnsynced = parts.some(({ unsynced = false }) => unsynced);
      const info =
        (await this.#moveSegment(key, upload, records, { metadata, isUnsynced })) ??
        (await this.#copyParts(key, upload, records, metadata));
      await discardUpload(upload);
      return info;
    });
  }

  async abortMultipart(key: string, uploadId: string): Promise<void> {
    try {
      await this.#withUpload(key, uploadId, async (upload) => {
        await readOwn(key, upload);
        this.#segments.close(uploadId);
        await discardUpload(upload);
        await syncFolder(dirname(upload));
      });
    } catch (error) {
      if (!(error instanceof MultipartNotFound)) throw error;
    }
  }

  async *listMultiparts(prefix: string): AsyncIterable<MultipartUpload> {
    for (const mount of this.folder.mounts.all)
      for (const uploadId of await this.folder.guard(prefix, async () => await this.#idsOn(mount))) {
        const upload = await this.#readOrSkip(join(multipartsOf(mount), uploadId));
        if (upload?.key.startsWith(prefix) !== true) continue;
        yield { key: upload.key, uploadId, started: new Date(upload.started) };
      }
  }

  async #idsOn(mount: Mount): Promise<string[]> {
    const names = await ignoring(notFoundCodes, fs.readdir(multipartsOf(mount)));
    // The folder does not exist before the first write.
    if (names === undefined && !(await this.folder.isAvailable(mount.temporary)))
      throw new Error(`${mount.top} is missing`);
    return (names ?? []).filter((name) => uploadIdPattern.test(name));
  }

  /** Undefined if the upload is gone or damaged. A damaged one is removed after a week, when a store is opened. */
  async #readOrSkip(upload: string): Promise<Upload | undefined> {
    let cause: unknown = new Error('its file is damaged');
    try {
      const read = await readUpload(upload);
      if (read !== undefined || (await ignoring(notFoundCodes, fs.lstat(upload))) === undefined) return read;
    } catch (error) {
      cause = error;
    }
    this.folder.onDamaged(relative(this.folder.root, upload), cause);
    return undefined;
  }

  /** Runs work on an upload's folder: on the mount of its key, or on another if the upload is older than that mount. */
  async #withUpload<T>(
    key: string,
    uploadId: string,
    work: (upload: string, isLocal: boolean) => Promise<T>,
  ): Promise<T> {
    const mounts = this.folder.mounts.shared(this.folder.path(key));
    if (!uploadIdPattern.test(uploadId)) throw new MultipartNotFound(key);
    const workOn = async (mount: Mount) =>
      await work(join(multipartsOf(mount), uploadId), this.folder.isLocal(mount));
    return await this.folder.guard(
      key,
      async () => {
        for (const mount of mounts) {
          const folder = join(multipartsOf(mount), uploadId);
          if ((await ignoring(notFoundCodes, fs.lstat(folder))) !== undefined) return await workOn(mount);
        }
        return await workOn(mounts[0]);
      },
      MultipartNotFound,
    );
  }

  async #openPart(
    key: string,
    upload: string,
    number: number,
    isLocal: boolean,
    continued?: UploadedPart,
  ): Promise<GrowingPart | undefined> {
    const uploadId = basename(upload);
    const slot =
      continued === undefined
        ? this.#segments.take(uploadId, key, number, createSegment(key, upload))
        : this.#segments.takeToContinue(uploadId, key, continued);
    if (slot === undefined) return undefined;
    const giveBack = () => {
      this.#segments.giveBack(uploadId, slot.segment);
    };
    try {
      return await GrowingPart.open({ ...slot, upload, number, isLocal, giveBack });
    } catch (error) {
      // As in #write.
      if (slot.isNew || !hasCode(error, ['ENOENT'])) throw error;
      return continued === undefined ? await this.#openPart(key, upload, number, isLocal) : undefined;
    }
  }

  async #write(
    key: string,
    upload: string,
    number: number,
    bytes: Uint8Array,
    isLocal: boolean,
  ): Promise<UploadedPart> {
    const uploadId = basename(upload);
    const create = createSegment(key, upload);
    const slot = this.#segments.reserve(uploadId, key, number, bytes.byteLength, create);
    try {
      return await writeAt(upload, slot, number, bytes, isLocal);
    } catch (error) {
      this.#segments.close(uploadId, slot.segment);
      // The segment of earlier parts is gone; if the upload exists, another process tried to complete it.
      if (slot.isNew || !hasCode(error, ['ENOENT'])) throw error;
      return await this.#write(key, upload, number, bytes, isLocal);
    }
  }

  /** Renames the first part's segment to the key, if it has exactly these parts and is on the key's mount. */
  async #moveSegment(
    key: string,
    upload: string,
    records: readonly [PartRecord, ...PartRecord[]],
    { metadata, isUnsynced }: { readonly metadata: Upload['metadata']; readonly isUnsynced: boolean },
  ): Promise<ObjectInfo | undefined> {
    const total = contiguousSize(records);
    if (total === undefined) return undefined;
    const file = await seal(upload, records[0].segment);
    if (file?.stats.size !== BigInt(total)) return undefined;
    if (isUnsynced) await syncFile(file.path);
    const info = objectInfo(key, file.stats);
    await this.sidecars.write(info, metadata);
    try {
      await this.folder.place(file.path, key);
      return info;
    } catch (error) {
      if (hasCode(error, ['EXDEV'])) return undefined;
      throw error;
    }
  }

  async #copyParts(
    key: string,
    upload: string,
    records: readonly PartRecord[],
    metadata: Upload['metadata'],
  ): Promise<ObjectInfo> {
    const fill = async (target: FileHandle) => {
      for (const record of records) await copyPart(upload, record, target);
    };
    // It has its own guard: a missing copy does not mean a missing upload.
    return await this.writeObject(key, fill, { metadata });
  }

  /** Writes an object with its metadata. */
  protected async writeObject(
    key: string,
    content: Content,
    { metadata, ...options }: WriteOptions,
  ): Promise<ObjectInfo> {
    const object = { key, content, describe: this.describing(metadata), ...options };
    const [info] = await this.folder.guard(key, async () => await createObjects(this.folder, [object]));
    if (info === undefined) throw new Error(`${key} was not written`);
    return info;
  }

  /** What writes the metadata of an object, if it has any. */
  protected describing(metadata: PutOptions['metadata']): NewFile['describe'] {
    if (metadata === undefined) return undefined;
    return async (info) => {
      await this.sidecars.write(info, metadata);
    };
  }
}

/** Creates an upload under another name first, so that it never appears without its file. */
async function createUpload(
  multiparts: string,
  uploadId: string,
  upload: Upload,
  isLocal: boolean,
): Promise<void> {
  const made = join(multiparts, `${uploadId}.new`);
  try {
    await fs.mkdir(made);
    await fs.writeFile(join(made, 'upload'), JSON.stringify(upload), { flush: !isLocal });
    if (!isLocal) await syncFolder(made);
    await fs.rename(made, join(multiparts, uploadId));
  } catch (error) {
    await fs.rm(made, { recursive: true, force: true });
    throw error;
  }
  if (!isLocal) await syncFolder(multiparts);
}

/** Reads an upload's file. @throws MultipartNotFound if it is unusable or of another key */
async function readOwn(key: string, upload: string): Promise<Upload> {
  const found = await readUpload(upload);
  // Fails if the whole store is missing.
  if (found === undefined) await fs.lstat(dirname(upload));
  if (found?.key !== key) throw new MultipartNotFound(key);
  return found;
}

/** Creates the file of a segment, in an upload of this key. */
function createSegment(key: string, upload: string): (name: string) => Promise<void> {
  return async (name) => {
    await readOwn(key, upload);
    await fs.writeFile(join(upload, name), '', { flag: 'wx' });
  };
}

/** Writes a part's bytes, then its record. */
async function writeAt(
  upload: string,
  { segment, offset }: Slot,
  number: number,
  bytes: Uint8Array,
  isLocal: boolean,
): Promise<UploadedPart> {
  await segment.created;
  const etag = randomUUID();
  const size = bytes.byteLength;
  const record = join(upload, `${number}.${etag}.${segment.name}.${offset}.${size}`);
  await fs.writeFile(`${record}.writing`, '', { flag: 'wx' });
  try {
    await writeDurably(join(upload, segment.name), offset, bytes);
    await fs.rename(`${record}.writing`, record);
  } catch (error) {
    await fs.rm(`${record}.writing`, { force: true });
    throw error;
  }
  if (!isLocal) await syncFolder(upload);
  return { number, etag, size };
}

/** An upload's records by number and ETag. */
async function recordsOf(upload: string): Promise<ReadonlyMap<string, PartRecord>> {
  const names = await fs.readdir(upload);
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

/** Closes a segment to writers. @returns undefined if one is still writing */
async function seal(upload: string, segment: string): Promise<PendingFile | undefined> {
  const path = join(upload, `${segment}.sealed`);
  await ignoring(['ENOENT'], fs.rename(join(upload, segment), path));
  const names = await fs.readdir(upload);
  const isWriter = (name: string) => name.endsWith('.writing') && name.includes(segment);
  if (names.some((name) => isWriter(name) && name !== unsyncedMark(segment))) return undefined;
  // Read after the check for writers: those that were writing have finished.
  const stats = await ignoring(['ENOENT'], fs.lstat(path, { bigint: true }));
  return stats === undefined ? await completed(upload) : { path, stats };
}

async function copyPart(
  upload: string,
  { segment, offset, size }: PartRecord,
  target: FileHandle,
): Promise<void> {
  const source = await openSegment(upload, segment);
  try {
    await copyBytes(source, { offset, size }, target);
  } finally {
    await source.close();
  }
}

/** Opens a segment to read it. @throws MultipartNotFound if it has become the object */
async function openSegment(upload: string, segment: string): Promise<FileHandle> {
  const path = join(upload, segment);
  return (
    (await ignoring(['ENOENT'], fs.open(path))) ??
    (await ignoring(['ENOENT'], fs.open(`${path}.sealed`))) ??
    (await completed(upload))
  );
}

/** Deletes the rest of a completed upload, which a missing segment indicates. */
async function completed(upload: string): Promise<never> {
  const { key } = (await readUpload(upload)) ?? { key: '' };
  await discardUpload(upload);
  throw new MultipartNotFound(key);
}

function assertPart(key: string, number: number, size: number): void {
  if (!Number.isInteger(number) || number < 1 || number > limits.maxParts) {
    throw new InvalidPart(key, `part ${number} of ${key} is not from 1 to ${limits.maxParts}`);
  }
  if (size > limits.maxPartSize) {
    throw new InvalidPart(key, `part ${number} of ${key} is larger than ${limits.maxPartSize} bytes`);
  }
}

/** The records of the given parts. @throws InvalidPart */
function select(
  key: string,
  parts: readonly UploadedPart[],
  records: ReadonlyMap<string, PartRecord>,
): [PartRecord, ...PartRecord[]] {
  const found = parts.map(({ number, etag }, index) => {
    const record = records.get(`${number}.${etag}`);
    const fault =
      record === undefined
        ? 'is missing'
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
  if (first === undefined)
    throw new InvalidPart(key, `an upload of ${key} cannot be completed without parts`);
  return [first, ...rest];
}

/** The bytes of parts that are contiguous from the start of one segment; otherwise undefined. */
function contiguousSize(records: readonly [PartRecord, ...PartRecord[]]): number | undefined {
  let end = 0;
  for (const { segment, offset, size } of records) {
    if (segment !== records[0].segment || offset !== end) return undefined;
    end += size;
  }
  return end;
}

async function syncFile(path: string): Promise<void> {
  const handle = await fs.open(path);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeDurably(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  const handle = await fs.open(path, 'r+');
  try {
    await writeAll(handle, bytes, offset);
    await stampMtime(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
