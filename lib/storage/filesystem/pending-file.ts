import { closeSync, fstatSync, type BigIntStats } from 'node:fs';
import fs, { type FileHandle } from 'node:fs/promises';

import { close, fstat, fsync, open, setTimes, writeAll } from './calls.ts';

/** A file not yet renamed to its key. */
export interface PendingFile {
  readonly path: string;
  readonly stats: BigIntStats;
}

/** The content of a file, or what writes it. */
export type Content = Uint8Array | ((handle: FileHandle) => Promise<unknown>);

/**
 * An mtime that is unique among all contents of an inode, in seconds. The kernel's mtime has a resolution of some
 * milliseconds, in which an inode can be reused for other content of the same size. The monotonic clock supplies the digits
 * below the millisecond.
 */
export function uniqueMtime(): number {
  return (Date.now() + Number(process.hrtime.bigint() % 1_000_000n) / 1e6) / 1000;
}

interface PendingOptions {
  /** Whether its file system describes and closes an open file without waiting; then that takes no thread. */
  readonly isLocal: boolean;
  /** Need not be synced. */
  readonly transient: boolean;
}

/** Writes a temporary file: durable when this resolves, unless it is transient, and removed when it rejects. */
export async function writePending(
  path: string,
  content: Content,
  options: PendingOptions,
): Promise<PendingFile> {
  try {
    const isBytes = content instanceof Uint8Array;
    const stats = isBytes ? await writeBytes(path, content, options) : await writeWith(path, content);
    return { path, stats };
  } catch (error) {
    await fs.rm(path, { force: true });
    throw error;
  }
}

async function writeBytes(
  path: string,
  bytes: Uint8Array,
  { isLocal, transient }: PendingOptions,
): Promise<BigIntStats> {
  const file = await open(path, 'wx');
  try {
    await writeAll(file, bytes);
    await setTimes(file, uniqueMtime());
    // Not datasync: the mtime is part of the ETag and must survive a power cut.
    if (!transient) await fsync(file);
    return isLocal ? fstatSync(file, { bigint: true }) : await fstat(file);
  } finally {
    if (isLocal) closeSync(file);
    else await close(file);
  }
}

async function writeWith(path: string, fill: (handle: FileHandle) => Promise<unknown>): Promise<BigIntStats> {
  const handle = await fs.open(path, 'wx');
  try {
    await fill(handle);
    const seconds = uniqueMtime();
    await handle.utimes(seconds, seconds);
    await handle.sync();
    return await handle.stat({ bigint: true });
  } finally {
    await handle.close();
  }
}
