import { accessSync, constants, statSync } from 'node:fs';
import type { Settings } from './settings.ts';

/**
 * The path of a file that the start reads. If that is impossible, it is a fault.
 * @param remedy what to do then
 */
export function readPath(settings: Settings, name: string, remedy: string): string | undefined {
  const path = settings.text(name);
  if (path !== undefined) checkFile(settings, name, path, remedy);
  return path;
}

/** Makes a fault of a file that cannot be read, in programs that open the files of their settings. */
export function checkFile(settings: Settings, name: string, path: string, remedy: string): void {
  const why = settings.opensFiles ? whyUnreadable(path) : undefined;
  if (why !== undefined) settings.fault(`${name}: ${path} ${why}; ${remedy}`);
}

function whyUnreadable(path: string): string | undefined {
  try {
    const stats = statSync(path);
    if (stats.isDirectory()) return 'is a folder';
    if (!stats.isFile()) return 'is no regular file';
    accessSync(path, constants.R_OK);
    return undefined;
  } catch (error) {
    return whyFailed(error);
  }
}

/** Why a file cannot be opened, as the end of a sentence about it. */
export function whyFailed(error: unknown): string {
  const { code = '' } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'does not exist';
    case 'EACCES':
      return 'must not be read by this user';
    case 'EISDIR':
      return 'is a folder';
    default:
      return `cannot be read (${code})`;
  }
}
