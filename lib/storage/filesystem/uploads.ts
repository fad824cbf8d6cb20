import { randomUUID } from 'node:crypto';
import fs from 'node:fs/promises';
import { join } from 'node:path';

import { ignoring } from '../file-errors.ts';
import { readSmallFile } from './small-files.ts';

export const uploadIdPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The largest file: a key and metadata. */
const maxFileBytes = 64 * 1024;

/** The content of a multipart upload's file `upload`. */
export interface Upload {
  readonly key: string;
  readonly started: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/**
 * Reads a multipart upload's file.
 * @param folder of the upload
 * @returns undefined if the file is missing or damaged, which makes the upload unusable
 */
export async function readUpload(folder: string): Promise<Upload | undefined> {
  const text = await readSmallFile(join(folder, 'upload'), maxFileBytes);
  return text === undefined ? undefined : parse(text);
}

function parse(text: string): Upload | undefined {
  try {
    const upload = JSON.parse(text) as Upload;
    const isValid = typeof upload.key === 'string' && !Number.isNaN(Date.parse(upload.started));
    return isValid ? upload : undefined;
  } catch {
    return undefined;
  }
}

/** The name of the file beside a segment whose bytes may not be synced. */
export function unsyncedMark(segment: string): string {
  return `unsynced.${segment}.writing`;
}

/** Deletes an upload atomically by a rename. @param folder of the upload */
export async function discardUpload(folder: string): Promise<void> {
  const away = `${folder}.gone-${randomUUID()}`;
  await ignoring(['ENOENT'], fs.rename(folder, away));
  await fs.rm(away, { recursive: true, force: true });
}
