import { existsSync } from 'node:fs';
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { reportDamage } from '../damage-log.ts';
import { didYouMean } from '../config/did-you-mean.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { StorageConfig } from '../config/storage.ts';

/** A command of `stowage`. */
export interface Command {
  /** One line for the list of commands. */
  readonly summary: string;
  /** Printed for `--help`, and after a UsageError. */
  readonly usage: string;
  /**
   * @param args the arguments after its name
   * @returns the exit code
   * @throws UsageError
   * @throws ConfigError
   */
  readonly run: (args: readonly string[]) => Promise<number>;
  /** The exit code after a failure, and for invalid settings. Default 1. */
  readonly failureCode?: number;
}

/** The arguments are invalid. */
export class UsageError extends Error {}

/** @param words that may be given, at most one @throws UsageError */
export function readArguments<const Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: Options,
  words: readonly string[] = [],
) {
  const { values, positionals } = readOptions(args, options);
  const [word, more] = positionals;
  if (word !== undefined && !words.includes(word)) refuse(word, 'argument', words);
  if (more !== undefined) refuse(more, 'argument', []);
  return { values, word };
}

/** Reads options, and any arguments beside them. @throws UsageError */
export function readOptions<const Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: Options,
) {
  const config = { args: [...args], options, allowPositionals: true };
  const known = Object.keys(options).map((name) => `--${name}`);
  for (const token of parseArgs({ ...config, strict: false, tokens: true }).tokens)
    if (token.kind === 'option' && !known.includes(`--${token.name}`)) refuse(token.rawName, 'option', known);
  try {
    return parseArgs(config);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const [, option = ''] = /--([\w-]+)/.exec((error as Error).message) ?? [];
    throw new UsageError(
      `--${option} ${options[option]?.type === 'string' ? 'needs a value' : 'takes no value'}`,
    );
  }
}

/**
 * npm keeps options before `--` to itself. Those that matter must not get lost so.
 * @param script of package.json
 * @param names of options, without dashes
 * @throws UsageError
 */
export function refuseOptionsOfNpm(script: string, names: readonly string[], args: readonly string[]): void {
  for (const name of names) {
    const value = process.env[`npm_config_${name.replaceAll('-', '_')}`] ?? '';
    const isGiven = args.some((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`));
    if (!isGiven && value !== '' && value !== 'false')
      throw new UsageError(`--${name} was given to npm; write npm run ${script} -- --${name}`);
  }
}

function refuse(given: string, what: string, known: readonly string[]): never {
  const hint = didYouMean(given, known);
  throw new UsageError(
    `${JSON.stringify(given)} is not a known ${what}${hint === undefined ? '' : `; ${hint}`}`,
  );
}

/**
 * Reads the argument FILE.
 * @param words that could stand there instead, so that a typo is not taken for a file
 * @throws UsageError if there are more
 */
export function onlyFile([file, more]: readonly string[], words: readonly string[] = []): string | undefined {
  if (file !== undefined && didYouMean(file, words) !== undefined && !existsSync(file))
    refuse(file, 'argument', words);
  if (more !== undefined) refuse(more, 'argument', []);
  return file;
}

/** Opening a store creates a missing folder, which would hide a wrong setting. */
export function assertFolderExists(storage: StorageConfig): void {
  if (storage.kind === 'filesystem' && !existsSync(storage.rootDirectory))
    throw new Error(
      `the folder ${storage.rootDirectory} does not exist; check REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY`,
    );
}

/** Reports damaged objects on standard error. */
export const onDamaged = reportDamage((message, error) => {
  console.error(error instanceof Error ? `${message}: ${reasonOf(error)}` : message);
});

export function count(number: number, noun: string, plural = `${noun}s`): string {
  return `${number} ${number === 1 ? noun : plural}`;
}

/** A sentence, or a list. The message of a RegistryError is for clients, its cause for operators. */
export function reasonOf(error: Error): string {
  const cause = error instanceof RegistryError && error.cause instanceof Error ? error.cause : error;
  return /\n|\?$/.test(cause.message) ? cause.message : `${cause.message.replace(/\.$/, '')}.`;
}
