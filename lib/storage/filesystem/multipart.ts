import { randomUUID } from 'node:crypto';
import fs, { type FileHandle } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';

import { syncFolder } from './durable-folders.ts';
import { copyBytes, writeAll } from './file-bytes.ts';
import { notFoundCodes, hasCode, ignoring } from '../file-errors.ts';
import { objectInfo, type Folder, type PendingFile, stampMtime } from './folder.ts';
import type { Sidecars } from './metadata.ts';
import type { Mount } from './mounts.ts';
import { Segments, type Slot } from './segments.ts';
import { multipartsOf } from './temporary.ts';
import { readUpload, type Upload, uploadIdPattern } from './uploads.ts';
import {
  InvalidPart,
  MultipartNotFound,
  type MultipartUpload,
  type MultipartWriter,
  type ObjectInfo,
  type PutOptions,
  type StoreLimits,
  type UploadedPart,
} from '../store.ts';

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
  replacesParts: false,
  // Between processes neither could be held without locks.
  conditionalWrites: false,
};

/** A part on disk. */
interface PartRecord {
  readonly etag: string;
  readonly segment: string;
  readonly offset: number;
  readonly size: number;
}

/**
 * Multipart uploads in a folder, made so that the usual one, written in order by one process, is never copied. They lie on
 * the mount of their key (see {@link Mounts}):
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
    const path = this.#folder.path(key);
    const id = randomUUID();
    const upload: Upload = { key, started: new Date().toISOString(), ...options };
    await this.#folder.guard(key, async () => {
      const [mount] = this.#folder.mounts.shared(path);
      await this.#folder.ensureTemporary(mount);
      await create(multipartsOf(mount), id, upload);
    });
    return id;
  }

  async uploadPart(key: string, uploadId: string, number: number, bytes: Uint8Array): Promise<UploadedPart> {
    this.#folder.path(key);
    assertPart(key, number, bytes.byteLength);
    return await this.#using(key, uploadId, async (upload) => await this.#write(key, upload, number, bytes));
  }

  async completeMultipart(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
  ): Promise<ObjectInfo> {
    return await this.#using(key, uploadId, async (upload) => {
      const { metadata } = await find(key, upload);
      const records = named(key, parts, await recordsOf(upload));
      this.#segments.close(uploadId);
      const info =
        (await this.#moveSegment(key, upload, records, metadata)) ??
        (await this.#copyParts(key, upload, records, metadata));
      await discard(upload);
      return info;
    });
  }

  async abortMultipart(key: string, uploadId: string): Promise<void> {
    try {
      await this.#using(key, uploadId, async (upload) => {
        await find(key, upload);
        this.#segments.close(uploadId);
        await discard(upload);
        await syncFolder(dirname(upload));
      });
    } catch (error) {
      if (!(error instanceof MultipartNotFound)) throw error;
    }
  }

  async *listMultiparts(prefix: string): AsyncIterable<MultipartUpload> {
    for (const mount of this.#folder.mounts.all)
      for (const uploadId of await this.#folder.guard(prefix, async () => await this.#idsOn(mount))) {
        const upload = await this.#readOne(join(multipartsOf(mount), uploadId));
        if (upload?.key.startsWith(prefix) !== true) continue;
        yield { key: upload.key, uploadId, started: new Date(upload.started) };
      }
  }

  async #idsOn(mount: Mount): Promise<string[]> {
    const names = await ignoring(notFoundCodes, fs.readdir(multipartsOf(mount)));
    // Where nothing was ever written there is no folder.
    if (names === undefined && !(await this.#folder.isAvailable(mount.temporary)))
      throw new Error(`${mount.top} is not there`);
    return (names ?? []).filter((name) => uploadIdPattern.test(name));
  }

  /** One of many uploads; undefined where it is gone, or damaged: such goes a week later, when the store is opened. */
  async #readOne(upload: string): Promise<Upload | undefined> {
    let cause: unknown = new Error('what its file says is damaged');
    try {
      const read = await readUpload(upload);
      if (read !== undefined || (await ignoring(notFoundCodes, fs.lstat(upload))) === undefined) return read;
    } catch (error) {
      cause = error;
    }
    this.#folder.onDamaged(relative(this.#folder.root, upload), cause);
    return undefined;
  }

  /** Does something with the folder of an upload: on the mount of its key, unless it was begun before that was one. */
  async #using<T>(key: string, uploadId: string, work: (upload: string) => Promise<T>): Promise<T> {
    const [first, ...others] = this.#folder.mounts.shared(this.#folder.path(key));
    if (!uploadIdPattern.test(uploadId)) throw new MultipartNotFound(key);
    return await this.#folder.guard(
      key,
      async () => {
        const own = join(multipartsOf(first), uploadId);
        for (const folder of [own, ...others.map((mount) => join(multipartsOf(mount), uploadId))])
          if ((await ignoring(notFoundCodes, fs.lstat(folder))) !== undefined) return await work(folder);
        return await work(own);
      },
      MultipartNotFound,
    );
  }

  async #write(key: string, upload: string, number: number, bytes: Uint8Array): Promise<UploadedPart> {
    const uploadId = basename(upload);
    const slot = this.#segments.reserve(uploadId, key, number, bytes.byteLength, async (name) => {
      await find(key, upload);
      await fs.writeFile(join(upload, name), '', { flag: 'wx' });
    });
    try {
      return await writeAt(upload, slot, number, bytes);
    } catch (error) {
      this.#segments.close(uploadId, slot.segment);
      // The segment of earlier parts is gone. If the upload is still there, another process tried to complete it.
      if (slot.fresh || !hasCode(error, ['ENOENT'])) throw error;
      return await this.#write(key, upload, number, bytes);
    }
  }

  /** Makes the first part's segment the object, if it holds these parts and nothing else, and lies on the key's mount. */
  async #moveSegment(
    key: string,
    upload: string,
    records: readonly [PartRecord, ...PartRecord[]],
    metadata: Upload['metadata'],
  ): Promise<ObjectInfo | undefined> {
    const total = contiguousSize(records);
    if (total === undefined) return undefined;
    const file = await seal(upload, records[0].segment);
    if (file?.stats.size !== BigInt(total)) return undefined;
    const info = objectInfo(key, file.stats);
    await this.#sidecars.write(info, metadata);
    try {
      await this.#folder.place(file.path, key);
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
    const prepare = async (info: ObjectInfo) => {
      await this.#sidecars.write(info, metadata);
    };
    // With a guard of its own: that the copy is gone would not mean that the upload is.
    return await this.#folder.guard(key, async () => await this.#folder.create(key, fill, prepare));
  }
}

/** Made aside, so that an upload is never found without its file. */
async function create(multiparts: string, uploadId: string, upload: Upload): Promise<void> {
  const made = join(multiparts, `${uploadId}.new`);
  try {
    await fs.mkdir(made);
    await fs.writeFile(join(made, 'upload'), JSON.stringify(upload), { flush: true });
    await syncFolder(made);
    await fs.rename(made, join(multiparts, uploadId));
  } catch (error) {
    await fs.rm(made, { recursive: true, force: true });
    throw error;
  }
  await syncFolder(multiparts);
}

/** What an upload's file says, if it is of this key. Without it nobody can go on with the upload. */
async function find(key: string, upload: string): Promise<Upload> {
  const found = await readUpload(upload);
  // Unless the whole store is.
  if (found === undefined) await fs.lstat(dirname(upload));
  if (found?.key !== key) throw new MultipartNotFound(key);
  return found;
}

/** Writes a part's bytes, and its record when they are durable. */
async function writeAt(
  upload: string,
  { segment, offset }: Slot,
  number: number,
  bytes: Uint8Array,
): Promise<UploadedPart> {
  await segment.begun;
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
  await syncFolder(upload);
  return { number, etag, size };
}

/** The records of an upload by number and ETag. */
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

/** Closes a segment to writers; undefined when one is still at it. */
async function seal(upload: string, segment: string): Promise<PendingFile | undefined> {
  const path = join(upload, `${segment}.sealed`);
  await ignoring(['ENOENT'], fs.rename(join(upload, segment), path));
  const names = await fs.readdir(upload);
  if (names.some((name) => name.endsWith('.writing') && name.includes(segment))) return undefined;
  // After the look for writers: one that had finished by then has written all it will.
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

async function openSegment(upload: string, segment: string): Promise<FileHandle> {
  const path = join(upload, segment);
  return (
    (await ignoring(['ENOENT'], fs.open(path))) ??
    (await ignoring(['ENOENT'], fs.open(`${path}.sealed`))) ??
    (await completed(upload))
  );
}

/** What it means that a segment is missing: the upload was completed, and what is left of it can go. */
async function completed(upload: string): Promise<never> {
  const { key } = (await readUpload(upload)) ?? { key: '' };
  await discard(upload);
  throw new MultipartNotFound(key);
}

/** Renamed first, so that an upload is there whole or not at all. */
async function discard(upload: string): Promise<void> {
  const away = `${upload}.gone-${randomUUID()}`;
  await ignoring(['ENOENT'], fs.rename(upload, away));
  await fs.rm(away, { recursive: true, force: true });
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
    await stampMtime(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
