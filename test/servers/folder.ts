import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { mkdtemp, realpath, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { undoOnce } from './cleanup.ts';

/** A folder of a test's own, below the system's temporary folder. */
export interface Folder {
  readonly path: string;
  /** Removes it with all its content, and unmounts what a server left mounted in it. */
  remove(): void;
}

/** Makes an empty folder that is gone when it is removed, or else when the process exits. */
export async function temporaryFolder(name: string): Promise<Folder> {
  return await folderIn(tmpdir(), name);
}

/** The same in memory where that has room, for very many small files. */
export async function memoryFolder(name: string): Promise<Folder> {
  return await folderIn((await hasRoom(MEMORY)) ? MEMORY : tmpdir(), name);
}

const MEMORY = '/dev/shm';

/** For half a million small files. */
async function hasRoom(path: string): Promise<boolean> {
  const stats = await statfs(path).catch(() => undefined);
  return stats !== undefined && stats.ffree > 500_000 && stats.bavail * stats.bsize > 1024 ** 3;
}

async function folderIn(parent: string, name: string): Promise<Folder> {
  const path = await realpath(await mkdtemp(join(parent, `stowage-${name}-`)));
  const remove = undoOnce(() => {
    unmountBelow(path);
    rmSync(path, { recursive: true, force: true, maxRetries: 3 });
  });
  return { path, remove };
}

/** A container daemon that was killed leaves mounts, and what is mounted cannot be removed. */
function unmountBelow(path: string): void {
  for (const mount of mountPoints()
    .filter((point) => point.startsWith(`${path}/`))
    .reverse()) {
    spawnSync('umount', ['--lazy', mount]);
  }
}

/** In the order they were mounted, so the last first is safe to unmount. Empty where there is no /proc. */
function mountPoints(): string[] {
  try {
    const lines = readFileSync('/proc/self/mounts', 'utf8').trim().split('\n');
    return lines.map((line) => line.split(' ')[1] ?? '');
  } catch {
    return [];
  }
}
