import type { BigIntStats } from 'node:fs';
import fs, { type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

import { isRepositoryName } from '../../protocol/names.ts';
import { hasCode, ignoring } from '../../storage/file-errors.ts';
import { compareKeys } from '../../storage/store.ts';

/** What a list file has. */
export interface NameList {
  /** Valid names in byte order, none twice. */
  readonly names: readonly string[];
  /** Whether the file has been made from the bucket: one that is empty, or marked, only has what was recorded since. */
  readonly whole: boolean;
  /** Whether the file ends within a line. */
  readonly unfinished: boolean;
  readonly stats: BigIntStats;
  /** Whether other content of the file would have other stats: see {@link tick}. */
  readonly settled: boolean;
}

/**
 * Nanoseconds after a change in which another one can have the same times, as the clock of file systems ticks coarsely;
 * some milliseconds on Linux.
 */
const tick = 100_000_000n;

/** A line of a file that was begun by recording names, until a reindex has made it whole. It is no name. */
const mark = '# not whole: npm run reindex';

/** What a file or folder says that we may not change. */
const refused: readonly string[] = ['EACCES', 'EPERM', 'EROFS'];

/** What a file system says that knows no owners or modes, or has them of its own. */
export const ownerless: readonly string[] = ['EACCES', 'EPERM', 'EROFS', 'EINVAL', 'ENOSYS', 'ENOTSUP'];

/** What a rename says of a file that is the mount point of a container, and of one we may not replace. */
const irreplaceable: readonly string[] = [...refused, 'EBUSY', 'EXDEV'];

/** A text file with one repository name a line, in any order. Who calls it holds the lock that each method names. */
export class ListFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Undefined when the file is missing. Without a lock. */
  async stat(): Promise<BigIntStats | undefined> {
    return await ignoring(['ENOENT'], fs.stat(this.#path, { bigint: true }));
  }

  /**
   * Undefined when the file is missing. Opens it in any case, which on NFS is what asks the server. Shared lock.
   * @param known is the answer if the file is still that
   */
  async read(known?: NameList): Promise<NameList | undefined> {
    const handle = await ignoring(['ENOENT'], fs.open(this.#path, 'r'));
    if (handle === undefined) return undefined;
    try {
      const before = await handle.stat({ bigint: true });
      if (known !== undefined && isSame(known.stats, before)) return known;
      const begun = BigInt(Date.now()) * 1_000_000n;
      const text = await handle.readFile('utf8');
      // Programs that know nothing of the lock may append at any time.
      const unchanged = isSame(before, await handle.stat({ bigint: true }));
      const settled = unchanged && before.ctimeNs < begun - tick;
      return { ...parse(text), stats: before, settled };
    } finally {
      await handle.close();
    }
  }

  /**
   * Adds a name at the end, or makes the file with it and the mark; durable when it resolves. Exclusive lock.
   * @param list as it was read under the same lock
   * @returns the list with the name, unless a program that knows nothing of the lock has changed it too
   */
  async append(name: string, list: NameList | undefined): Promise<NameList | undefined> {
    const handle = await fs.open(this.#path, 'a');
    try {
      const before = await handle.stat({ bigint: true });
      const beginning = before.size === 0n ? `${mark}\n` : list?.unfinished === true ? '\n' : '';
      const line = `${beginning}${name}\n`;
      await appendWhole(handle, line, before);
      if (list === undefined) await syncFolder(dirname(this.#path));
      const stats = await handle.stat({ bigint: true });
      if (list === undefined || !isSame(before, list.stats)) return undefined;
      if (stats.size !== before.size + BigInt(line.length)) return undefined;
      const names = list.names.toSpliced(firstAfter(list.names, name), 0, name);
      return { names, whole: list.whole, unfinished: false, stats, settled: true };
    } finally {
      await handle.close();
    }
  }

  /**
   * Replaces all names: readers see the old file or the new one, even those that know nothing of the lock, wherever a
   * file can be renamed to this one. Elsewhere it is rewritten. Durable when it resolves. Exclusive lock.
   */
  async replace(names: readonly string[], list: NameList | undefined): Promise<void> {
    // Without any there is an empty line, as a file without a byte is not whole.
    const bytes = Buffer.from(`${names.join('\n')}\n`);
    // Always the same name, so that what a killed process has left goes with the next.
    const temporary = `${this.#path}.reindexed`;
    if ((await this.#write(temporary, bytes, list?.stats)) && (await this.#rename(temporary))) return;
    await this.#rewrite(bytes);
  }

  /** False where no file can be made beside the list. */
  async #write(temporary: string, bytes: Buffer, like: BigIntStats | undefined): Promise<boolean> {
    const handle = await ignoring(refused, make(temporary));
    if (handle === undefined) return false;
    try {
      await handle.writeFile(bytes);
      if (like !== undefined) await makeAlike(handle, like);
      await handle.sync();
      return true;
    } catch (error) {
      await fs.rm(temporary, { force: true });
      throw error;
    } finally {
      await handle.close();
    }
  }

  /** False where the list cannot be replaced; the other file is gone then. */
  async #rename(temporary: string): Promise<boolean> {
    try {
      await fs.rename(temporary, this.#path);
    } catch (error) {
      await fs.rm(temporary, { force: true });
      if (hasCode(error, irreplaceable)) return false;
      throw error;
    }
    await syncFolder(dirname(this.#path));
    return true;
  }

  async #rewrite(bytes: Buffer): Promise<void> {
    const handle = await fs.open(this.#path, 'r+');
    try {
      const old = await handle.readFile();
      await overwrite(handle, bytes).catch(async (error: unknown) => {
        // As of a disk that is full, on which the old content still has its place.
        await overwrite(handle, old);
        throw error;
      });
    } finally {
      await handle.close();
    }
  }
}

/** Whether a file cannot have changed between the two, once its times have settled. */
export function isSame(a: BigIntStats, b: BigIntStats): boolean {
  return a.ino === b.ino && a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs;
}

/** Index of the first name after a text in byte order. */
export function firstAfter(names: readonly string[], last: string): number {
  let [low, high] = [0, names.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareKeys(names[middle] ?? '', last) > 0) high = middle;
    else low = middle + 1;
  }
  return low;
}

function parse(text: string): Pick<NameList, 'names' | 'whole' | 'unfinished'> {
  const lines = text.split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  // Names are ASCII, for which the order of strings is that of bytes.
  const names = [...new Set(lines.filter(isRepositoryName))].sort();
  const whole = text !== '' && !lines.includes(mark);
  return { names, whole, unfinished: text !== '' && !text.endsWith('\n') };
}

/** Leaves no part of a line when it fails. */
async function appendWhole(handle: FileHandle, line: string, { size }: BigIntStats): Promise<void> {
  try {
    await handle.writeFile(line);
    await handle.datasync();
  } catch (error) {
    await handle.truncate(Number(size));
    throw error;
  }
}

/** A new file, in the place of one that a killed process may have left. */
async function make(path: string): Promise<FileHandle> {
  await fs.rm(path, { force: true });
  return await fs.open(path, 'wx');
}

/** Gives a file the owner and mode of another as far as we may; the mode last, so that it never lets in too many. */
async function makeAlike(handle: FileHandle, { uid, gid, mode }: BigIntStats): Promise<void> {
  // The group alone can be given by its members too.
  await ignoring(ownerless, handle.chown(-1, Number(gid)));
  await ignoring(ownerless, handle.chown(Number(uid), Number(gid)));
  await ignoring(ownerless, handle.chmod(Number(mode) & 0o777));
}

/** Truncates last: until then, no more is missing than must be. */
async function overwrite(handle: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length;)
    at += (await handle.write(bytes, at, bytes.length - at, at)).bytesWritten;
  await handle.truncate(bytes.length);
  await handle.sync();
}

/** Makes the entries of a folder durable. */
async function syncFolder(path: string): Promise<void> {
  // A folder that may be written to need not be readable.
  const handle = await ignoring(['EACCES', 'EPERM'], fs.open(path, 'r'));
  if (handle === undefined) return;
  try {
    // EINVAL: a file system that knows no sync of folders.
    await ignoring(['EINVAL'], handle.sync());
  } finally {
    await handle.close();
  }
}
