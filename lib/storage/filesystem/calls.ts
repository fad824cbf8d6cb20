import fs, { type BigIntStats } from 'node:fs';

/*
 * Calls of node:fs with callbacks. Those in node:fs/promises, with their handles of files, take about twice the time.
 */

type Done<T> = (error: Error | null, result: T) => void;

async function call<T>(start: (done: Done<T>) => void): Promise<T> {
  return await new Promise((resolve, reject) => {
    start((error, result) => {
      if (error === null) resolve(result);
      else reject(error);
    });
  });
}

async function run(start: (done: (error: Error | null) => void) => void): Promise<void> {
  await call<undefined>((done) => {
    start((error) => {
      done(error, undefined);
    });
  });
}

export async function lstat(path: string): Promise<BigIntStats> {
  return await call((done) => {
    fs.lstat(path, { bigint: true }, done);
  });
}

/** @returns the descriptor, which must be closed */
export async function open(path: string, flags: number | string): Promise<number> {
  return await call((done) => {
    fs.open(path, flags, done);
  });
}

export async function fstat(file: number): Promise<BigIntStats> {
  return await call((done) => {
    fs.fstat(file, { bigint: true }, done);
  });
}

/** Reads bytes from `at` in a file to `at` in a buffer. @returns how many, 0 at the end of the file */
export async function readAt(file: number, bytes: Buffer, at: number): Promise<number> {
  return await call((done) => {
    fs.read(file, bytes, at, bytes.length - at, at, done);
  });
}

/** Writes all bytes at the end of what was written. */
export async function writeAll(file: number, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) {
    at += await call<number>((done) => {
      fs.write(file, bytes, at, bytes.byteLength - at, null, done);
    });
  }
}

/** Sets the times of access and change of content. @param seconds since 1970 */
export async function setTimes(file: number, seconds: number): Promise<void> {
  await run((done) => {
    fs.futimes(file, seconds, seconds, done);
  });
}

export async function fsync(file: number): Promise<void> {
  await run((done) => {
    fs.fsync(file, done);
  });
}

export async function rename(from: string, to: string): Promise<void> {
  await run((done) => {
    fs.rename(from, to, done);
  });
}

export async function unlink(path: string): Promise<void> {
  await run((done) => {
    fs.unlink(path, done);
  });
}

export async function mkdir(path: string): Promise<void> {
  await run((done) => {
    fs.mkdir(path, done);
  });
}

export async function rmdir(path: string): Promise<void> {
  await run((done) => {
    fs.rmdir(path, done);
  });
}

export async function close(file: number): Promise<void> {
  await run((done) => {
    fs.close(file, done);
  });
}
