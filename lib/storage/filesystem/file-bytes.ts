import fs, { type FileHandle } from 'node:fs/promises';

import { readFlags } from './small-files.ts';

/** Bytes of a read. */
const chunkSize = 1024 * 1024;

/** Bytes of a write. For larger ones Linux looks for more contiguous memory, which took a virtual machine several times as long. */
const maxWriteBytes = 512 * 1024;

interface Range {
  readonly offset: number;
  readonly size: number;
}

/** Reads a range of a file. Each piece is valid until the next is read: all have the same memory. */
export async function* readRange(source: FileHandle, { offset, size }: Range): AsyncGenerator<Buffer, void> {
  const buffer = Buffer.allocUnsafe(Math.min(chunkSize, size));
  for (let left = size; left > 0;) {
    const { bytesRead } = await source.read(buffer, 0, Math.min(chunkSize, left), offset + size - left);
    if (bytesRead === 0) throw new Error(`a file ends ${left} bytes before the end of the range`);
    left -= bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** Appends a range of a file to another file. */
export async function copyBytes(source: FileHandle, range: Range, target: FileHandle): Promise<void> {
  for await (const bytes of readRange(source, range)) await writeAll(target, bytes);
}

/** Writes all bytes; one system call may write fewer. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array, position?: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength;) {
    const at = position === undefined ? null : position + done;
    const length = Math.min(maxWriteBytes, bytes.byteLength - done);
    done += (await handle.write(bytes, done, length, at)).bytesWritten;
  }
}

/** Copies all bytes of a file to another. */
export async function copyFile(file: string, target: FileHandle): Promise<void> {
  const source = await fs.open(file, readFlags);
  try {
    await copyBytes(source, { offset: 0, size: (await source.stat()).size }, target);
  } finally {
    await source.close();
  }
}
