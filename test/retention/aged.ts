import { readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';

/** Makes all files in a folder older. @param ms milliseconds */
export async function ageFiles(folder: string, ms: number): Promise<void> {
  const time = new Date(Date.now() - ms);
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) await utimes(join(entry.parentPath, entry.name), time, time);
}
