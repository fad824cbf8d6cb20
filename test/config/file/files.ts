import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Program } from '../../../lib/config/config.ts';
import { loadConfigFile, type LoadedConfig } from '../../../lib/config/file/load.ts';
import { ConfigError } from '../../../lib/config/settings.ts';
import { temporaryFolder } from '../../servers/folder.ts';

const folder = await temporaryFolder('config-file');

export const removeFiles = (): void => {
  folder.remove();
};

let files = 0;

/** Writes a configuration file. @returns its path */
export function fileOf(text: string): string {
  const path = join(folder.path, `${++files}.yml`);
  writeFileSync(path, text);
  return path;
}

/** The path of an empty file, for a setting that needs one. */
export const emptyFile = fileOf('');

type Variables = Readonly<Record<string, string>>;

/** Loads a file that begins with the version, on a folder of the test's own. */
export async function load(
  text: string,
  variables: Variables = {},
  program: Program = 'server',
): Promise<LoadedConfig> {
  return await loadConfigFile(program, fileOf(`version: 0.1\n${text}`), variables);
}

/** The faults of such a file; the first line after the version is line 2. */
export async function faultsOf(text: string, variables: Variables = {}): Promise<readonly string[]> {
  try {
    await load(text, variables);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.faults;
  }
  return [];
}
