import { formatDuration, parseDuration } from './durations.ts';
import type { Settings } from './settings.ts';

/**
 * Reads a list of maps, and collects the faults of each.
 * @param kind what the entries are, and an example, for the message
 */
export function readEntries<T>(
  settings: Settings,
  name: string,
  { what, example }: { readonly what: string; readonly example: string },
  read: (fields: Fields) => T,
): T[] {
  const value = settings.json(name);
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || !value.every((entry) => typeof entry === 'object' && entry !== null)) {
    settings.fault(`${name}: not a list of ${what}, such as ${example}`);
    return [];
  }
  return value.map((entry: object, index) => {
    const fields = new Fields(entry);
    const result = read(fields);
    fields.finish();
    if (fields.faults.length > 0) settings.fault(`${name}: entry ${index + 1}: ${fields.faults.join('; ')}`);
    return result;
  });
}

/** Reads the fields of an entry, and collects what is wrong with them. */
export class Fields {
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #read = new Set<string>();
  readonly faults: string[] = [];

  constructor(entry: object) {
    this.#values = new Map(Object.entries(entry));
  }

  take(name: string): unknown {
    this.#read.add(name);
    return this.#values.get(name);
  }

  text(name: string, isRight: (text: string) => boolean, example: string): string {
    const value = this.take(name);
    if (typeof value === 'string' && isRight(value)) return value;
    this.faults.push(`${name} must be one such as ${example}`);
    return '';
  }

  /** @param fallback also for 0, as in distribution @param range in milliseconds @returns milliseconds */
  duration(name: string, fallback: string, { min, max }: { min: number; max: number }): number {
    const value = this.take(name) ?? 0;
    const milliseconds = typeof value === 'string' ? parseDuration(value) : undefined;
    if (value === 0 || milliseconds === 0) return parseDuration(fallback) ?? 0;
    if (milliseconds !== undefined && milliseconds >= min && milliseconds <= max) return milliseconds;
    this.faults.push(
      `${name} must be a duration from ${formatDuration(min)} to ${formatDuration(max)}, such as ${fallback}`,
    );
    return 0;
  }

  number(name: string, { min, max, fallback }: { min: number; max: number; fallback: number }): number {
    const value = this.take(name) ?? 0;
    if (value === 0) return fallback;
    if (Number.isInteger(value) && Number(value) >= min && Number(value) <= max) return Number(value);
    this.faults.push(`${name} must be a number from ${min} to ${max}`);
    return fallback;
  }

  flag(name: string): boolean {
    const value = this.take(name) ?? false;
    if (typeof value !== 'boolean') this.faults.push(`${name} must be true or false`);
    return value === true;
  }

  choice<const T extends string>(name: string, options: readonly [T, ...T[]]): T {
    const value = this.take(name) ?? options[0];
    const option = options.find((one) => one === value);
    if (option === undefined) this.faults.push(`${name} must be one of ${options.join(', ')}`);
    return option ?? options[0];
  }

  /**
   * A list of texts, or one text; undefined if there is none.
   * @param faultOf what is wrong with one of them, without the text if it may be secret
   */
  texts(name: string, faultOf: (text: string) => string | undefined): readonly string[] | undefined {
    const value = this.take(name);
    if (value === undefined || value === null) return undefined;
    const texts: readonly unknown[] = [value].flat();
    const faults = texts.map((text) =>
      typeof text === 'string' && text !== '' ? faultOf(text) : 'must be a text or a list of texts',
    );
    const [fault] = faults.filter((one) => one !== undefined);
    if (fault !== undefined) this.faults.push(`${name} ${fault}`);
    return fault === undefined ? (texts as readonly string[]) : [];
  }

  headers(): Readonly<Record<string, readonly string[]>> {
    const value = this.take('headers') ?? {};
    const lists = Object.entries(value).map(
      ([name, texts]: [string, unknown]) => [name, [texts].flat()] as const,
    );
    const isRight = lists.every(
      ([name, texts]) =>
        /^[\w-]+$/.test(name) &&
        texts.every((text) => typeof text === 'string' && /^[\t\x20-\x7e]*$/.test(text)),
    );
    // Never repeated: they may have a password.
    if (!isRight) this.faults.push('headers must be an object of names and lists of values');
    return isRight ? (Object.fromEntries(lists) as Record<string, string[]>) : {};
  }

  /** Leaves an entry unread that is of no use. */
  skip(): void {
    for (const name of this.#values.keys()) this.#read.add(name);
    this.faults.length = 0;
  }

  /** Faults of fields that no entry has. */
  finish(): void {
    for (const name of this.#values.keys())
      if (!this.#read.has(name))
        this.faults.push(`there is no ${/^\w{1,30}$/.test(name) ? name : 'such field'}`);
  }
}
