import callbacks from 'node:fs';
import fs from 'node:fs/promises';
import { dirname } from 'node:path';
import { mock } from 'node:test';

type Done<T> = (error: Error | null, result?: T) => void;

export interface RecordedSyncs {
  /** Folders whose entries have changed since they were synced: what a power cut may undo. */
  readonly changed: Set<string>;
  /** Where files appeared before their bytes were synced. */
  readonly early: string[];
}

/** Mocks the calls of file systems that change folders or sync, until all mocks are restored. */
export function recordSyncs(): RecordedSyncs {
  const recorded: RecordedSyncs = { changed: new Set(), early: [] };
  const written = new Set<string>();
  recordPromises(recorded, written);
  recordCallbacks(recorded, written);
  recordOpened(recorded.changed, written);
  return recorded;
}

function recordPromises({ changed, early }: RecordedSyncs, written: ReadonlySet<string>): void {
  const { rename, unlink, rmdir, mkdir, link } = fs;
  const change = async <T>(work: Promise<T>, ...paths: string[]): Promise<T> => {
    const result = await work;
    for (const path of paths) changed.add(dirname(path));
    return result;
  };
  mock.method(fs, 'rename', (from: string, to: string) => change(rename(from, to), from, to));
  mock.method(fs, 'link', (from: string, to: string) => {
    if (written.has(from)) early.push(to);
    return change(link(from, to), to);
  });
  mock.method(fs, 'unlink', (path: string) => change(unlink(path), path));
  mock.method(fs, 'rmdir', async (path: string) => {
    await change(rmdir(path), path);
    changed.delete(path);
  });
  mock.method(fs, 'mkdir', async (path: string, options?: { recursive: true }) => {
    const first = await mkdir(path, options);
    if (options?.recursive !== true) changed.add(dirname(path));
    for (let made = path; first !== undefined && made.length >= first.length; made = dirname(made))
      changed.add(dirname(made));
    return first;
  });
}

function recordCallbacks({ changed, early }: RecordedSyncs, written: ReadonlySet<string>): void {
  const { rename, unlink, rmdir, mkdir } = callbacks;
  const change = (done: Done<void>, ...paths: string[]): Done<void> => {
    return (error) => {
      if (error === null) for (const path of paths) changed.add(dirname(path));
      done(error);
    };
  };
  mock.method(callbacks, 'rename', (from: string, to: string, done: Done<void>) => {
    if (written.has(from)) early.push(to);
    rename(from, to, change(done, from, to));
  });
  mock.method(callbacks, 'unlink', (path: string, done: Done<void>) => {
    unlink(path, change(done, path));
  });
  mock.method(callbacks, 'mkdir', (path: string, done: Done<void>) => {
    mkdir(path, change(done, path));
  });
  mock.method(callbacks, 'rmdir', (path: string, done: Done<void>) => {
    rmdir(path, (error) => {
      if (error === null) changed.delete(path);
      change(done, path)(error);
    });
  });
}

/** Files and folders are opened and synced by callbacks, folders also synchronously. */
function recordOpened(changed: Set<string>, written: Set<string>): void {
  const { open, openSync, fsync } = callbacks;
  const opened = new Map<number, string>();
  mock.method(callbacks, 'openSync', (path: string, flags: number) => {
    const file = openSync(path, flags);
    opened.set(file, path);
    return file;
  });
  mock.method(callbacks, 'open', (path: string, flags: number | string, done: Done<number>) => {
    if (flags === 'wx') written.add(path);
    open(path, flags, (error, file) => {
      opened.set(file, path);
      done(error, file);
    });
  });
  mock.method(callbacks, 'fsync', (file: number, done: Done<void>) => {
    fsync(file, (error) => {
      const path = opened.get(file) ?? '';
      changed.delete(path);
      written.delete(path);
      done(error);
    });
  });
}
