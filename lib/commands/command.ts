import { existsSync } from 'node:fs';
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { namingDamage } from '../damage-log.ts';
import { didYouMean } from '../config/did-you-mean.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { StorageConfig } from '../config/storage.ts';
import { StoreError } from '../storage/store.ts';

/*
 * What the commands have in common.
 */

/** One of `stowage`'s commands. */
export interface Command {
  /** What it does, in one line of the list of commands. */
  readonly summary: string;
  /** How it is called and all that it takes: printed for `--help`, and after a UsageError. */
  readonly usage: string;
  /**
   * Takes the arguments after its name.
   * @returns the exit code
   * @throws UsageError
   * @throws ConfigError
   */
  readonly run: (args: readonly string[]) => Promise<number>;
}

/** The arguments are not right. */
export class UsageError extends Error {}

/**
 * Reads arguments.
 * @param words that may be given, one at most
 * @throws UsageError
 */
export function readArguments<const Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: Options,
  words: readonly string[] = [],
) {
  const config = { args: [...args], options, allowPositionals: true };
  const known = Object.keys(options).map((name) => `--${name}`);
  for (const token of parseArgs({ ...config, strict: false, tokens: true }).tokens)
    if (token.kind === 'option' && !known.includes(`--${token.name}`)) refuse(token.rawName, 'option', known);
  try {
    const { values, positionals } = parseArgs(config);
    const [word, more] = positionals;
    if (word !== undefined && !words.includes(word)) refuse(word, 'argument', words);
    if (more !== undefined) refuse(more, 'argument', []);
    return { values, word };
  } catch (error) {
    throw error instanceof UsageError ? error : new UsageError((error as Error).message);
  }
}

function refuse(given: string, what: string, known: readonly string[]): never {
  const hint = didYouMean(given, known);
  throw new UsageError(
    `${JSON.stringify(given)} is not a known ${what}${hint === undefined ? '' : `; ${hint}`}`,
  );
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

/** A sentence. That of a RegistryError is meant for clients; its cause is for us. */
export function reasonOf(error: Error): string {
  const cause = error instanceof RegistryError && error.cause instanceof Error ? error.cause : error;
  const advised = !(cause instanceof StoreError) || cause.message.includes('REGISTRY_STORAGE_');
  return `${cause.message.replace(/\.$/, '')}.${advised ? '' : ' Check the storage settings.'}`;
}
