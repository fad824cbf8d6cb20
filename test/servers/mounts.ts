import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Requirement } from './requires.ts';

/** Options that let a test run where things can be mounted: as root, and not in a container that forbids it. */
export function requiresMounts(): Requirement {
  const folder = mkdtempSync(join(tmpdir(), 'stowage-mount-'));
  try {
    mountMemory(folder);
    unmount(folder);
    return {};
  } catch (error) {
    return { skip: `needs the right to mount: ${String(error).split('\n', 1)[0] ?? ''}` };
  } finally {
    rmdirSync(folder);
  }
}

/** Mounts a file system in memory on a folder, which is made. Tests do so below a temporary folder, which unmounts it. */
export function mountMemory(path: string, size = '64m'): void {
  mkdirSync(path, { recursive: true });
  run('mount', '-t', 'tmpfs', '-o', `size=${size},mode=755`, 'stowage-test', path);
}

/** Shows a folder at another path too, as another mount. */
export function mountFolder(source: string, path: string): void {
  for (const folder of [source, path]) mkdirSync(folder, { recursive: true });
  run('mount', '--bind', source, path);
}

/** Lets nothing be written any more at a mount. */
export function makeReadOnly(path: string): void {
  run('mount', '-o', 'remount,bind,ro', path);
}

export function unmount(path: string): void {
  run('umount', '--lazy', path);
}

function run(program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { stdio: 'pipe' });
}
