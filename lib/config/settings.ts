import { ConfigError } from './config-error.ts';
import { didYouMean } from './did-you-mean.ts';
import { formatDuration, parseDuration } from './durations.ts';
import { parseFlow } from './flow.ts';
import { isServiceLink } from './service-links.ts';
import {
  isImage,
  isSectionName,
  isSet,
  knownSetting,
  mayBeSetting,
  normalize,
  asGiven,
  valueOf,
  type Environment,
} from './variables.ts';

export { ConfigError } from './config-error.ts';
export type { Environment } from './variables.ts';

export interface SettingsOptions {
  /** How a variable is called in messages, if it comes from a file. By default it is the one that was set. */
  readonly shownAs?: (name: string) => string;
  /** @default false */
  readonly opensFiles?: boolean;
}

/** But for where podman and skopeo keep logins, which may be set on the machine of a registry. */
const ourPrefix = /^(REGISTRY_(?!AUTH_FILE$)|SEARCH_BACKEND)/;

/** Reads variables one by one and collects their faults. */
export class Settings {
  readonly #environment: Environment;
  readonly #known = new Set<string>();
  /** Settings whose value may have several lines. */
  readonly #multiline = new Set<string>();
  readonly #faults: string[] = [];
  readonly #warnings: string[] = [];

  readonly #shownAs: (name: string) => string;
  /** What is used where nothing is set. */
  readonly #fallbacks = new Map<string, string>();
  /** Settings that are set and mean nothing here. */
  readonly #ignored: string[] = [];

  /** Whether the program opens the files that settings name, so that one that is missing is a fault. */
  readonly opensFiles: boolean;

  constructor(environment: Environment, options: SettingsOptions = {}) {
    this.#environment = normalize(environment);
    this.#shownAs = options.shownAs ?? ((name) => asGiven(environment, name));
    this.opensFiles = options.opensFiles ?? false;
  }

  /** Whether this is Lambda itself: serverless-offline also sets `IS_OFFLINE`. */
  get inLambda(): boolean {
    return (
      this.#environment['AWS_LAMBDA_FUNCTION_NAME'] !== undefined &&
      this.#environment['IS_OFFLINE'] === undefined
    );
  }

  warn(text: string): void {
    this.#warnings.push(text);
  }

  get inImage(): boolean {
    return isImage(this.#environment);
  }

  fault(text: string): void {
    this.#faults.push(text);
  }

  /** Whether any variable with this prefix is set. */
  hasAny(prefix: string): boolean {
    return Object.entries(this.#environment).some(
      ([name, value]) =>
        name.startsWith(prefix) && isSet(value) && !isServiceLink(this.#environment, name, value),
    );
  }

  /** Settings that were asked for, in the order of their names, with what is used where they are not set. */
  get used(): readonly { name: string; value: string | undefined; fallback: string | undefined }[] {
    return [...this.#known]
      .sort()
      .map((name) => ({ name, value: this.text(name), fallback: this.#fallbacks.get(name) }));
  }

  /** Complete after {@link finish}. Settings that mean nothing here are one warning at most. */
  get warnings(): readonly string[] {
    return this.ignoredWarning === undefined ? this.#warnings : [...this.#warnings, this.ignoredWarning];
  }

  /** The variables that are set and mean nothing here. Complete after {@link finish}. */
  get ignored(): readonly string[] {
    return this.#ignored;
  }

  get ignoredWarning(): string | undefined {
    const names = this.#ignored.map((name) => this.#shownAs(name)).sort();
    return names.length === 0
      ? undefined
      : `these settings have no effect here, and docs/configuration-file.md says why: ${names.join(', ')}`;
  }

  /** As in distribution, an empty value counts as not set. */
  text(name: string): string | undefined {
    this.#known.add(name);
    const value = this.#environment[name]?.trim();
    return value === '' ? undefined : value;
  }

  /** A value that may have several lines. */
  lines(name: string): string | undefined {
    this.#multiline.add(name);
    return this.text(name);
  }

  choice<const T extends string>(name: string, options: readonly T[], fallback: T): T {
    this.#fallbacks.set(name, fallback);
    return this.optionalChoice(name, options) ?? fallback;
  }

  optionalChoice<const T extends string>(name: string, options: readonly T[]): T | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const option = options.find((one) => one.toLowerCase() === value.toLowerCase());
    if (option === undefined) this.fault(`${name}: ${quoted(value)} is not one of ${options.join(', ')}`);
    return option;
  }

  flag(name: string, fallback: boolean): boolean {
    this.#fallbacks.set(name, String(fallback));
    return this.optionalFlag(name) ?? fallback;
  }

  optionalFlag(name: string): boolean | undefined {
    const choice = this.optionalChoice(name, ['true', 'false']);
    return choice === undefined ? undefined : choice === 'true';
  }

  /** A whole number. @param what it counts, for the message */
  number(
    name: string,
    what: string,
    { min, max, fallback }: { min: number; max: number; fallback: number },
  ): number {
    this.#fallbacks.set(name, String(fallback));
    const value = this.text(name);
    if (value === undefined) return fallback;
    const number = Number(value);
    if (/^\d{1,15}$/.test(value) && number >= min && number <= max) return number;
    this.fault(`${name}: ${quoted(value)} is not a number of ${what} from ${min} to ${max}`);
    return fallback;
  }

  /**
   * A list or a map, in JSON or in YAML's flow style, such as `[a, b]`. The caller checks its shape: a single word is read as
   * a text. Undefined if it is not set, or after a fault.
   */
  json(name: string): unknown {
    const value = this.text(name);
    if (value === undefined) return undefined;
    try {
      return parseFlow(value);
    } catch (error) {
      this.fault(`${name}: not a list or map in JSON or YAML such as [a, b]: ${(error as Error).message}`);
      return undefined;
    }
  }

  /** A list of texts, as {@link json} reads it, or one text. Undefined if it is not set, or after a fault. */
  list(name: string): readonly string[] | undefined {
    const value = this.json(name);
    if (value === undefined) return undefined;
    const items: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (items.every((item) => typeof item === 'string' && item !== '')) return items as readonly string[];
    this.fault(`${name}: must be a list of texts, such as ["a", "b"]`);
    return undefined;
  }

  /** A duration as Go writes it, such as `10s` or `1m30s`. @returns milliseconds */
  duration(name: string, { min, max, fallback }: { min: number; max: number; fallback: number }): number {
    const value = this.text(name);
    if (value === undefined) return fallback;
    const milliseconds = parseDuration(value);
    if (milliseconds !== undefined && milliseconds >= min && milliseconds <= max) return milliseconds;
    this.fault(
      `${name}: ${quoted(value)} is not a duration from ${formatDuration(min)} to ${formatDuration(max)}, such as 10s or 1m30s`,
    );
    return fallback;
  }

  /**
   * A base URL, without a trailing slash.
   * @param mayHavePath whether it may have this path, without a trailing slash
   */
  url(name: string, mayHavePath: (path: string) => boolean = () => false): string | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const url = URL.canParse(value) ? new URL(value) : undefined;
    const path = url?.pathname.replace(/\/$/, '') ?? '';
    const isBase = path === '' || mayHavePath(path);
    if (url === undefined || !/^https?:$/.test(url.protocol) || !isBase || url.search !== '') {
      this.fault(
        `${name}: not an http:// or https:// URL without path and query, such as https://registry.example.com`,
      );
      return undefined;
    }
    return url.origin + path;
  }

  address(name: string, fallback: { host: string; port: number }): { host: string; port: number } {
    this.#fallbacks.set(name, `${fallback.host}:${fallback.port}`);
    const value = this.text(name);
    if (value === undefined) return fallback;
    const [, host, bracketed, port] = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(value) ?? [];
    if (port === undefined || Number(port) > 65535) {
      this.fault(`${name}: ${quoted(value)} is not host:port, such as 127.0.0.1:5000 or :5000`);
      return fallback;
    }
    // As in Go, no host means all addresses.
    return {
      host: host ?? (bracketed === undefined || bracketed === '' ? '::' : bracketed),
      port: Number(port),
    };
  }

  /**
   * @param where the settings are, for the message, such as "in config.yml"
   * @throws ConfigError if there are faults or unknown settings
   */
  finish(where?: string): void {
    for (const [name, value] of Object.entries(this.#environment))
      if (
        mayBeSetting(name) &&
        isSet(value) &&
        !this.#known.has(name) &&
        !isServiceLink(this.#environment, name, value)
      )
        this.#judge(name, value);
    const unprintable = [...this.#known]
      .filter((name) => !this.#multiline.has(name))
      .filter((name) => /\p{Cc}/u.test(this.text(name) ?? ''));
    const faults = [
      ...this.#faults.filter((fault) => !unprintable.some((name) => fault.startsWith(`${name}:`))),
      ...unprintable.map((name) => `${name}: must not contain line breaks or other control characters`),
    ];
    if (faults.length > 0)
      throw new ConfigError(
        faults.map((fault) => this.#asShown(fault)),
        where,
      );
  }

  /** A variable that nothing here reads. */
  #judge(name: string, value: string): void {
    const { setting, name: whole } = knownSetting(name) ?? {};
    if (setting?.kind === 'ignored') {
      if (setting.harmless?.(valueOf(value)) !== true) this.#ignored.push(name);
    } else if (setting?.kind === 'refused') {
      if (setting.harmless?.(valueOf(value)) !== true) this.fault(`${name}: ${setting.remedy}`);
    } else {
      const hint = didYouMean(name, this.#known);
      if (isSectionName(name) && refusals[name] === undefined)
        this.fault(
          `${name}: is a section; write it as a map, such as {enabled: true}, or set one of ${name}_…`,
        );
      else if (whole !== undefined && whole !== name)
        this.fault(`${name}: is no entry of ${whole}; indexes count from 0, without gaps`);
      else if (whole !== undefined && refusals[name] === undefined)
        this.fault(`${name}: has no effect in this program; remove it`);
      else if (ourPrefix.test(name) || (hint !== undefined && name.startsWith('SEARCH_')))
        this.fault(
          `${name}: ${refusals[name] ?? `no such setting; ${hint ?? 'docs/configuration.md lists all of them'}`}`,
        );
    }
  }

  #asShown(fault: string): string {
    return fault.replace(/^[A-Z][A-Z0-9_]*(?=…?: )/, (name) => this.#shownAs(name));
  }
}

/** A value for a message. Anything but a word may be a misplaced password. */
export function quoted(value: string): string {
  return /^[\w.-]{1,32}$/.test(value) ? `"${value}"` : 'it';
}

/** Mistakes that are no settings of distribution. */
const refusals: Readonly<Record<string, string>> = {
  REGISTRY_PORT: 'no such setting; set REGISTRY_HTTP_ADDR to host:port, such as :5000, and remove it',
  REGISTRY_STORAGE_MAINTENANCE_READONLY:
    'set REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED=true for a read-only registry, and remove it',
};

/** Why a storage driver or a kind of access control of distribution is refused. */
export function refusalOf(name: string): string | undefined {
  const { setting } = knownSetting(name) ?? {};
  return setting?.kind === 'refused' ? setting.remedy : undefined;
}
