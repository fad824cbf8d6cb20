import type { JSONWebKeySet } from 'jose';
import { SingleFlight } from '../../concurrency/single-flight.ts';
import { readText } from './read-text.ts';

/** Milliseconds that keys are used before they are read again. */
const refreshMs = 10 * 60_000;

/** Milliseconds from one read to the next, whoever asks: for a key that is not there yet, or an issuer that fails. */
const retryMs = 30_000;

/** Milliseconds that keys are used where they cannot be read again. */
const keptMs = 24 * 60 * 60_000;

/** Milliseconds that one response of an issuer may take. */
const usualTimeoutMs = 5_000;

/** Bytes of one response. */
const maxSize = 256 * 1024;

/** Keys of one issuer. */
const maxKeys = 100;

interface KnownKeys {
  readonly keys: JSONWebKeySet | undefined;
  /** Milliseconds since 1970 at which the keys were read. */
  readonly keysAt: number;
  /** Why the last read failed. */
  readonly failure: Error | undefined;
  /** Milliseconds since 1970 of the last read. */
  readonly readAt: number;
}

export interface IssuerKeysOptions {
  /** Is told of each read that failed, and why. */
  readonly warn: (message: string) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Milliseconds that one response may take. */
  readonly timeoutMs?: number;
}

/**
 * The signing keys of OIDC issuers (OpenID Connect Discovery 1.0). Only issuers that the policy names are asked, over https and
 * without redirects; nothing within a token is a URL to go to.
 */
export class IssuerKeys {
  readonly #known = new Map<string, KnownKeys>();
  readonly #reads = new SingleFlight<string, KnownKeys>();
  readonly #options: Required<IssuerKeysOptions>;

  constructor({ warn, now = Date.now, timeoutMs = usualTimeoutMs }: IssuerKeysOptions) {
    this.#options = { warn, now, timeoutMs };
  }

  /** Forgets issuers that the policy does not name any more. */
  retain(issuers: ReadonlySet<string>): void {
    for (const issuer of this.#known.keys()) if (!issuers.has(issuer)) this.#known.delete(issuer);
  }

  /**
   * @param issuer an https URL of the policy
   * @param missing whether a key was not found among the known ones, so that they are read again
   * @throws Error that says what is wrong with the issuer, where there have never been any keys
   */
  async of(issuer: string, { missing = false } = {}): Promise<JSONWebKeySet> {
    const known = this.#known.get(issuer);
    const { keys, failure } =
      known !== undefined && this.#isFresh(known, missing)
        ? known
        : await this.#reads.run(issuer, async () => await this.#read(issuer));
    if (keys !== undefined) return keys;
    throw failure ?? new Error(`${issuer} has no keys`);
  }

  #isFresh({ failure, readAt }: KnownKeys, missing: boolean): boolean {
    const age = this.#options.now() - readAt;
    // A clock that was set back must not hold the keys still.
    return age >= 0 && age < (missing || failure !== undefined ? retryMs : refreshMs);
  }

  async #read(issuer: string): Promise<KnownKeys> {
    const { now, timeoutMs } = this.#options;
    const readAt = now();
    let read: KnownKeys;
    try {
      const keys = await fetchKeys(issuer, timeoutMs);
      read = { keys, keysAt: readAt, failure: undefined, readAt };
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      read = { ...this.#keptKeys(issuer, readAt), failure, readAt };
      const effect = read.keys === undefined ? 'its jobs cannot log in' : 'those read before are used';
      this.#options.warn(
        `the keys of the OIDC issuer ${issuer} cannot be read, so ${effect}: ${failure.message}`,
      );
    }
    this.#known.set(issuer, read);
    return read;
  }

  /** An issuer that is out of reach keeps its keys, but not for ever: one may have been withdrawn. */
  #keptKeys(issuer: string, now: number): Pick<KnownKeys, 'keys' | 'keysAt'> {
    const { keys, keysAt } = this.#known.get(issuer) ?? { keys: undefined, keysAt: 0 };
    return { keys: now - keysAt < keptMs ? keys : undefined, keysAt };
  }
}

async function fetchKeys(issuer: string, timeoutMs: number): Promise<JSONWebKeySet> {
  const discovery = await fetchJson(
    `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`,
    timeoutMs,
  );
  const { issuer: named, jwks_uri: url } = discovery;
  if (named !== issuer) throw new Error(`the discovery document of ${issuer} names another issuer`);
  if (typeof url !== 'string') throw new Error(`the discovery document of ${issuer} has no jwks_uri`);
  const { keys } = await fetchJson(url, timeoutMs);
  if (!Array.isArray(keys) || !keys.every(isObject)) throw new Error(`${url} is no key set`);
  if (keys.length > maxKeys) throw new Error(`${url} has more than ${maxKeys} keys`);
  return { keys: keys as unknown as JSONWebKeySet['keys'] };
}

/** @throws Error with the URL in its message */
async function fetchJson(url: string, timeoutMs: number): Promise<Readonly<Record<string, unknown>>> {
  if (URL.parse(url)?.protocol !== 'https:') throw new Error(`${url} is no https URL`);
  try {
    const response = await fetch(url, {
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
      headers: { accept: 'application/json' },
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Error(`its status is ${response.status}`);
    }
    return parseObject(await readText(response, maxSize));
  } catch (error) {
    throw new Error(`${url} cannot be read: ${reasonOf(error)}`, { cause: error });
  }
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Falls through: the message of the parser quotes the text.
  }
  if (!isObject(value)) throw new Error('it is no JSON object');
  return value;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Where a request fails, only the cause says why. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error && cause.message !== '' ? cause.message : message;
}
