import { didYouMean } from '../did-you-mean.ts';
import { scalar } from '../flow.ts';
import { settingTable, type Setting } from '../setting-table.ts';
import { joinWords, variableOf } from '../variables.ts';
import type { FileValue } from './document.ts';

/** Where a variable comes from. */
export interface Origin {
  readonly path: string;
  readonly line: number;
}

/** The settings of a file as variables. */
export interface FlatFile {
  readonly variables: ReadonlyMap<string, string>;
  readonly origins: ReadonlyMap<string, Origin>;
  readonly faults: readonly string[];
}

/** Sections of which exactly one key is in use, beside settings that are not a choice. */
const choices: ReadonlyMap<string, readonly string[]> = new Map([
  ['storage', ['filesystem', 's3', 's3aws', 'scs', 'azure', 'gcs', 'swift', 'oss', 'inmemory']],
  ['auth', ['none', 'htpasswd', 'token', 'policy', 'silly']],
  ['search.backend', ['mysql', 'local']],
]);

/** The drivers of `storage`, as parts of names of variables. */
export const drivers = choices.get('storage')?.map((driver) => driver.toUpperCase()) ?? [];

/** As in distribution. */
const defaultFolder = '/var/lib/registry';

const settings: ReadonlyMap<string, Setting> = new Map(Object.entries(settingTable));

const paths = [...settings.keys()];

/** Turns a file into variables: `a.b.c` into `REGISTRY_A_B_C`. Sections without a value set nothing. */
export function flatten(root: FileValue): FlatFile {
  const flat = new Flattening();
  flat.version(root);
  flat.section('', root);
  return flat;
}

class Flattening implements FlatFile {
  readonly variables = new Map<string, string>();
  readonly origins = new Map<string, Origin>();
  readonly faults: string[] = [];

  version({ value, line }: FileValue): void {
    const version =
      value instanceof Map ? (value as ReadonlyMap<string, FileValue>).get('version') : undefined;
    if (version === undefined) this.#fault('version', line, 'missing; write version: 0.1');
    else if (version.value !== '0.1') this.#fault('version', version.line, 'must be 0.1');
  }

  section(path: string, { value, line }: FileValue): void {
    const options = choices.get(path);
    if (typeof value === 'string' && options !== undefined) {
      if (value !== '') this.#select(path, path, line, value);
    } else if (value instanceof Map) {
      const entries = value as ReadonlyMap<string, FileValue>;
      const left = options === undefined ? [] : this.#choose(path, entries, options);
      for (const [key, inner] of entries) if (!left.includes(key)) this.#entry(path, key, inner);
    } else if (value !== null)
      this.#fault(path || 'the file', line, 'must be a section of settings (key: value)');
  }

  /** Names the driver, the kind of access control or the list of repositories. @returns keys that are left out after a fault */
  #choose(
    path: string,
    entries: ReadonlyMap<string, FileValue>,
    options: readonly string[],
  ): readonly string[] {
    const named = [...entries.keys()].filter((key) => options.includes(key));
    const [first] = named;
    // Users of a policy may have passwords.
    const isPolicy =
      path === 'auth' && named.length === 2 && named.includes('policy') && named.includes('htpasswd');
    const chosen = isPolicy ? 'policy' : first;
    if (chosen === undefined) return [];
    const { line } = entries.get(chosen) ?? { line: 0 };
    if (named.length > 1 && !isPolicy)
      this.#fault(path, line, `must have exactly one of ${named.join(', ')}`);
    this.#select(path, `${path}.${chosen}`, line, chosen === 's3aws' ? 's3' : chosen);
    return isPolicy ? [] : named.filter((key) => key !== chosen);
  }

  #select(path: string, from: string, line: number, chosen: string): void {
    this.#set(path, from, line, chosen);
    const folder = 'storage.filesystem.rootdirectory';
    if (path === 'storage' && chosen === 'filesystem') this.#set(folder, from, line, defaultFolder);
  }

  #entry(parent: string, key: string, inner: FileValue): void {
    const path = parent === '' ? key : `${parent}.${key}`;
    const usual = path.replace(/^storage\.s3aws(?=\.|$)/, 'storage.s3');
    const setting = settings.get(usual);
    const isSection = paths.some((one) => one.startsWith(`${usual}.`));
    if (path === 'version') return;
    if (isRefusedChoice(parent, setting)) return;
    if (choices.get(path) !== undefined) this.section(path, inner);
    else if (setting !== undefined && !(isSection && setting.below === true && inner.value instanceof Map))
      this.#value(usual, path, setting, inner);
    else if (isSection) this.section(path, inner);
    else if (!this.#isBelow(usual, path, inner)) this.#unknown(parent, path, inner);
  }

  /** A key below a setting that stands for a whole section. */
  #isBelow(usual: string, path: string, inner: FileValue): boolean {
    const above = paths.find((one) => settings.get(one)?.below === true && usual.startsWith(`${one}.`));
    if (above !== undefined) this.#set(usual, path, inner.line, textOf(inner));
    return above !== undefined;
  }

  #unknown(parent: string, path: string, { line }: FileValue): void {
    if (choices.get(parent)?.includes(path.slice(parent.length + 1)) === true) return;
    const depth = path.split('.').length;
    const siblings = paths
      .filter((one) => parent === '' || one.startsWith(`${parent}.`))
      .map((one) => one.split('.').slice(0, depth).join('.'));
    const hint = didYouMean(path, new Set(siblings)) ?? 'docs/configuration-file.md lists all of them';
    this.#fault(path, line, `no such setting; ${hint}`);
  }

  #value(usual: string, path: string, setting: Setting, inner: FileValue): void {
    const { value, line } = inner;
    const form = setting.kind === 'works' ? setting.form : undefined;
    if (value === null || value === '' || isEmpty(value)) return;
    if (
      setting.kind !== 'works' ||
      (form === 'list' && Array.isArray(value)) ||
      (form === 'map' && value instanceof Map)
    )
      this.#set(usual, path, line, textOf(inner));
    else if (form === 'words') this.#words(usual, path, inner);
    else if (form !== undefined) this.#fault(path, line, `must be a ${form}`);
    else if (typeof value !== 'string') this.#fault(path, line, 'must be a single value');
    else this.#set(usual, path, line, value);
  }

  #words(usual: string, path: string, inner: FileValue): void {
    const words = typeof inner.value === 'string' ? inner.value : joinWords(plainOf(inner));
    if (words === undefined) this.#fault(path, inner.line, 'must be a list of texts');
    else this.#set(usual, path, inner.line, words);
  }

  #set(usual: string, path: string, line: number, value: string): void {
    const name = variableOf(usual);
    this.variables.set(name, value);
    this.origins.set(name, { path, line });
  }

  #fault(path: string, line: number, what: string): void {
    this.faults.push(`${path} (line ${line}): ${what}`);
  }
}

/** The choice itself is refused, whatever is below it. */
function isRefusedChoice(parent: string, setting: Setting | undefined): boolean {
  return choices.get(parent) !== undefined && setting?.kind === 'refused' && setting.below === true;
}

function isEmpty(value: FileValue['value']): boolean {
  return (Array.isArray(value) && value.length === 0) || (value instanceof Map && value.size === 0);
}

function textOf(value: FileValue): string {
  return typeof value.value === 'string' ? value.value : JSON.stringify(plainOf(value));
}

/** As JSON has it; numbers and `true` only where they are without quotes. */
function plainOf({ value, isPlain }: FileValue): unknown {
  if (value === null) return null;
  if (typeof value === 'string') return isPlain ? scalar(value) : value;
  return value instanceof Map
    ? Object.fromEntries(
        [...(value as ReadonlyMap<string, FileValue>)].map(([key, inner]) => [key, plainOf(inner)]),
      )
    : (value as readonly FileValue[]).map(plainOf);
}
