import { existsSync } from 'node:fs';
import { namingDamage } from '../damage-log.ts';
import { ConfigError } from '../config/config.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { StorageConfig } from '../config/storage.ts';
import { StoreError } from '../storage/store.ts';

/*
 * What the programs have in common that do one thing and end.
 */

/** The arguments are not right. */
export class UsageError extends Error {}

/**
 * Runs a program to its end. What goes wrong is printed; the exit code is then 1, or 2 for wrong arguments.
 * @param name with its article, as in "The sweep ended early"
 * @param usage printed instead, for `--help`
 * @param main resolves to the exit code
 */
export async function runProgram(name: string, usage: string, main: () => Promise<number>): Promise<void> {
  if (process.argv.includes('--help')) {
    console.log(usage);
    return;
  }
  try {
    process.exitCode = await main();
  } catch (error) {
    console.error(explain(name, error));
    process.exitCode = error instanceof UsageError ? 2 : 1;
  }
}

/** Opening a folder would make it, and then there is nothing in it. */
export function assertThere(storage: StorageConfig): void {
  if (storage.kind === 'filesystem' && !existsSync(storage.rootDirectory))
    throw new Error(
      `there is no folder ${storage.rootDirectory}; check REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY`,
    );
}

/** Names what is damaged on standard error. */
export const onDamaged = namingDamage((message, error) => {
  console.error(error instanceof Error ? `${message}: ${reasonOf(error)}` : message);
});

/** A number with what it counts. */
export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : plural}`;
}

/** What went wrong and what to do about it, in one line. */
function explain(name: string, error: unknown): string {
  if (error instanceof ConfigError || error instanceof UsageError) return error.message;
  if (!(error instanceof Error)) return String(error);
  return `${name} ended early: ${reasonOf(error)}`;
}

/** A sentence. That of a RegistryError is meant for clients; its cause is for us. */
export function reasonOf(error: Error): string {
  const cause = error instanceof RegistryError && error.cause instanceof Error ? error.cause : error;
  const advised = !(cause instanceof StoreError) || cause.message.includes('REGISTRY_STORAGE_');
  return `${cause.message.replace(/\.$/, '')}.${advised ? '' : ' Check the storage settings.'}`;
}
