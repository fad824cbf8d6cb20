import { constants } from 'node:fs';
import fs from 'node:fs/promises';

import { notFoundCodes, ignoring } from '../file-errors.ts';

/** Neither following a link nor waiting at a pipe somebody has put in a file's place. */
export const readFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * The text of a small file of the store's own.
 * @returns undefined where there is none; the empty text, which is none of ours, where there is something else or too much
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
