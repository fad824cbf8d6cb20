import { randomUUID } from 'node:crypto';
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { secretsOf } from './secrets.ts';

/** Names the folder in which a run of the tests keeps what registries log. Without one nothing is kept. */
const folderVariable = 'STOWAGE_TEST_LOGS';

/** Keeps in a folder, from now on, what this process and those that it starts have to keep. */
export function keepIn(folder: string): void {
  process.env[folderVariable] = folder;
}

/** Keeps the log of a registry. @returns what takes the next piece of it */
export function keepLog(): (text: string) => void {
  const folder = process.env[folderVariable];
  if (folder === undefined) return () => undefined;
  const file = join(folder, `${randomUUID()}.log`);
  return (text) => {
    appendFileSync(file, text);
  };
}

/** Keeps the secrets that a registry was given, none of which may be in a log. */
export function keepSecrets(settings: Readonly<Record<string, string | undefined>>): void {
  const folder = process.env[folderVariable];
  const secrets = secretsOf(settings);
  if (folder === undefined || secrets.length === 0) return;
  writeFileSync(join(folder, `${randomUUID()}.secrets`), JSON.stringify(secrets));
}

/** All that was kept. */
export function kept(): { readonly logs: readonly string[]; readonly secrets: ReadonlySet<string> } {
  const folder = process.env[folderVariable];
  const texts = (ending: string) =>
    (folder === undefined ? [] : readdirSync(folder))
      .filter((name) => name.endsWith(ending))
      .map((name) => readFileSync(join(folder ?? '', name), 'utf8'));
  return {
    logs: texts('.log'),
    secrets: new Set(texts('.secrets').flatMap((text) => JSON.parse(text) as string[])),
  };
}
