import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Htpasswd, type HtpasswdOptions } from '../../../lib/access/htpasswd/htpasswd.ts';
import { RegistryError } from '../../../lib/protocol/errors.ts';
import { temporaryFolder } from '../../servers/folder.ts';

/*
 * Lines of password files, made by libxcrypt's crypt(3) and Apache's htpasswd 2.4.
 */

/** bcrypt of cost 4 by the password that it is of. */
export const hashes = {
  'correct horse': '$2y$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e',
  'Grüße, 世界': '$2a$04$abcdefghijklmnopqrstuuoQnWol5PYWFDDwJ8ER20ISwxl..A71a',
  ['x'.repeat(72)]: '$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i',
} as const;

export const right = 'correct horse';

/** The line of a user whose password is {@link right}. */
export const line = (name: string, version: '2a' | '2b' | '2y' = '2y') =>
  `${name}:${hashes[right].replace('2y', version)}`;

/** For a file that nothing is wrong with. */
export const noWarning = (message: string): void => {
  assert.fail(message);
};

/** Opens this content, with what a test changes of the options. */
export async function openContent(
  content: string,
  options: Partial<HtpasswdOptions> = {},
): Promise<Htpasswd> {
  return await Htpasswd.open({ kind: 'content', content }, { warn: () => undefined, ...options });
}

/** Opens a file of this content that is looked at whenever it is used. */
export async function openFile(text: string, options: Partial<HtpasswdOptions> = {}) {
  const folder = await temporaryFolder('htpasswd');
  const path = join(folder.path, 'users.htpasswd');
  writeFileSync(path, text);
  const warnings: string[] = [];
  const htpasswd = await Htpasswd.open(
    { kind: 'file', path },
    { warn: (message) => warnings.push(message), checkEveryMs: 0, ...options },
  );
  const close = async () => {
    await htpasswd.close();
    folder.remove();
  };
  return { htpasswd, path, folder: folder.path, warnings, close };
}

/** What came of an attempt to log in: `ok`, or how it failed. */
export async function outcome(login: Promise<unknown>): Promise<string> {
  try {
    await login;
    return 'ok';
  } catch (error) {
    if (error instanceof RegistryError) return error.failure;
    throw error;
  }
}

/** How often each outcome came. */
export function tally(outcomes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const one of outcomes) counts[one] = (counts[one] ?? 0) + 1;
  return counts;
}
