import fs, { type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, mock } from 'node:test';
import { RegistryError } from '../../lib/protocol/errors.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { LocalFile } from '../../lib/search/file/local-file.ts';
import type { BucketNames } from '../../lib/search/search-backend.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';

/** Prefixes of each other, with characters that sort before and after a slash; in byte order. */
export const related = ['a', 'a-b', 'a.b', 'a/b', 'a_b', 'ab'];

/** A bucket with these names, whose listing may differ. */
export function bucketOf(names: readonly string[], listed = names): BucketNames {
  return {
    async *all() {
      yield* await Promise.resolve(listed);
    },
    has: (name) => Promise.resolve(names.includes(name)),
  };
}

export function failure(code: string): Error {
  return Object.assign(new Error(`${code}: of the test`), { code });
}

export const isUnavailable = (error: unknown): boolean =>
  error instanceof RegistryError && error.failure === 'SEARCH_UNAVAILABLE' && error.cause instanceof Error;

/** Gives each test of the suite that calls it a list in a temporary folder. */
export function listFile() {
  const list = {} as { folder: Folder; path: string; file: LocalFile };

  beforeEach(async () => {
    list.folder = await temporaryFolder('list');
    list.path = join(list.folder.path, 'repositories');
    list.file = await LocalFile.open(list.path);
    await list.file.reindex(bucketOf([]));
  });
  afterEach(async () => {
    mock.restoreAll();
    await list.file.close();
    list.folder.remove();
  });

  return Object.assign(list, {
    write: async (text: string) => {
      await fs.writeFile(list.path, text);
    },
    content: async () => await fs.readFile(list.path, 'utf8'),
    all: async (from = list.file) => (await from.list({ n: Number.MAX_SAFE_INTEGER, last: '' })).names,
    record: async (name: string, to = list.file) => {
      await to.record(parseRepositoryName(name));
    },
    files: async () => (await fs.readdir(list.folder.path)).sort(),
  });
}

export const rows = (names: readonly string[]) => names.map((name) => `${name}\n`).join('');

/** Limits new files to three bytes. */
export function fillDisk(): void {
  const { open } = fs;
  mock.method(fs, 'open', async (at: string, flags: string) => {
    const handle = await open(at, flags);
    if (flags === 'wx') failAfter(handle, 3);
    return handle;
  });
}

/** Limits the bytes that a handle can write. */
function failAfter(handle: FileHandle, room: number): void {
  mock.method(handle, 'writeFile', async (data: string) => {
    await handle.write(data.slice(0, room));
    throw failure('ENOSPC');
  });
}
