import { constants } from 'node:fs';
import fs from 'node:fs/promises';

import { notFoundCodes, ignoring } from '../file-errors.ts';

/** Does not follow a link, or block on a pipe, that replaces a file. */
export const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Reads a small text file of the store.
 * @returns undefined if it does not exist; an empty string if it is too large or not a regular file
 */
export async function readSmallFile(path: string, limit: number): Promise<string | undefined> {
  const handle = await ignoring(notFoundCodes, fs.open(path, readFlags));
  if (handle === undefined) return undefined;
  try {
    const stats = await handle.stat();
    return stats.isFile() && stats.size <= limit ? await handle.readFile('utf8') : '';
  } finally {
    await handle.close();
  }
}
