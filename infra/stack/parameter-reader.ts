import { didYouMean } from '../../lib/config/did-you-mean.ts';

/** Values as they were given: texts on a command line, YAML in a file. */
export type GivenParameters = Readonly<Record<string, unknown>>;

/** Invalid parameters of a deployment. The message lists every fault with its remedy. */
export class ParameterError extends Error {
  override readonly name = 'ParameterError';
  readonly faults: readonly string[];

  constructor(stage: string, faults: readonly string[]) {
    super([`Invalid parameters of the stage ${stage}:`, ...faults.map((fault) => `  - ${fault}`)].join('\n'));
    this.faults = faults;
  }
}

/** What a text must look like. */
export interface Form {
  readonly pattern: RegExp;
  /** For the message, such as `an e-mail address`. */
  readonly what: string;
}

/** Reads parameters one by one and collects their faults. */
export class ParameterReader {
  readonly faults: string[] = [];
  readonly #given: GivenParameters;
  readonly #known = new Set<string>();

  constructor(given: GivenParameters) {
    this.#given = given;
  }

  /** An empty value counts as none. */
  has(name: string): boolean {
    const value = this.#given[name];
    return value !== undefined && value !== null && value !== '';
  }

  fault(name: string, text: string): void {
    this.faults.push(`${name}: ${text}`);
  }

  text(name: string, { pattern, what }: Form): string | undefined {
    const text = this.#scalar(name);
    if (text !== undefined && !pattern.test(text)) this.fault(name, `${shown(text)} is not ${what}`);
    return text;
  }

  choice<T extends string>(name: string, choices: readonly T[], fallback: T): T {
    const text = this.#scalar(name);
    const chosen = choices.find((choice) => choice === text);
    if (text !== undefined && chosen === undefined)
      this.fault(name, `${shown(text)} is not one of ${choices.join(', ')}`);
    return chosen ?? fallback;
  }

  integer(name: string, limits: { min: number; max: number; fallback: number }): number {
    const { min, max, fallback } = limits;
    const text = this.#scalar(name);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (/^\d{1,9}$/.test(text) && value >= min && value <= max) return value;
    this.fault(name, `${shown(text)} is not a whole number from ${min} to ${max}`);
    return fallback;
  }

  /** A list of YAML, or texts between commas. */
  list(name: string, { pattern, what }: Form): readonly string[] {
    this.#known.add(name);
    const value = this.#given[name];
    if (!this.has(name)) return [];
    const items = Array.isArray(value) ? value.map(String) : text(value).split(/[\s,]+/);
    for (const item of items) if (!pattern.test(item)) this.fault(name, `${shown(item)} is not ${what}`);
    return items;
  }

  /** A map of YAML from names to single values. */
  map(name: string): Readonly<Record<string, string>> {
    this.#known.add(name);
    const value = this.#given[name];
    if (!this.has(name)) return {};
    if (!isMap(value)) {
      this.fault(name, 'is not a map from names to values');
      return {};
    }
    const entries = Object.entries(value).filter(([, one]) => one !== null);
    return Object.fromEntries(entries.map(([key, one]) => [key, text(one)]));
  }

  /** Faults for all that nothing has read. */
  refuseUnknown(): void {
    for (const name of Object.keys(this.#given))
      if (!this.#known.has(name))
        this.fault(
          name,
          `no such parameter; ${didYouMean(name, this.#known) ?? 'docs/deploy/aws.md lists all'}`,
        );
  }

  #scalar(name: string): string | undefined {
    this.#known.add(name);
    if (!this.has(name)) return undefined;
    const value = this.#given[name];
    if (typeof value === 'object') {
      this.fault(name, 'must be a single value');
      return undefined;
    }
    const trimmed = text(value).trim();
    const fault = unfitFault(trimmed);
    if (fault === undefined) return trimmed;
    this.fault(name, fault);
    return undefined;
  }
}

/**
 * What is wrong with any text of a deployment, before what it means. Line breaks would leave their place in a script. osls replaces
 * `${…}`, CloudFormation `{{resolve:…}}`, by values that may be secret.
 */
export function unfitFault(text: string): string | undefined {
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text))
    return 'has a line break or another control character; write it as one line, a list or map as JSON';
  const [opening] = /\$\{|\{\{/.exec(text) ?? [];
  return opening === undefined
    ? undefined
    : `has ${opening}, which the deployment would replace; write the value itself, and a space between braces of JSON`;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** A value for a message. Anything long may be a misplaced secret. */
function shown(text: string): string {
  return /^[\w./:@-]{1,80}$/.test(text) ? JSON.stringify(text) : 'its value';
}
