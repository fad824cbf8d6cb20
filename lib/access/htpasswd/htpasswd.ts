import { createHmac, createSecretKey, randomBytes } from 'node:crypto';
import { SingleFlight } from '../../concurrency/single-flight.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { clientKey } from '../client-key.ts';
import { Attempts, defaultAttemptLimits, type AttemptLimits, type AttemptThrottle } from './attempts.ts';
import type { Check } from './bcrypt-worker.ts';
import { dummyHashFor } from './dummy-hash.ts';
import { maxNameBytes, type Entry } from './entries.ts';
import { ExpiringSet } from './expiring-set.ts';
import { PasswordFile } from './password-file.ts';
import { createReader, type HtpasswdSource } from './sources.ts';
import { Verifier } from './verifier.ts';

export type { HtpasswdSource } from './sources.ts';
export { HtpasswdError } from './entries.ts';

export interface HtpasswdOptions {
  /** Called when the file becomes invalid, and when it is valid again. Messages contain no secrets. */
  readonly warn: (message: string) => void;
  /** Milliseconds between checks for changes. Default: one second for a file, five minutes for a secret. */
  readonly checkEveryMs?: number | undefined;
  /** Milliseconds that a verified password is cached after its last use. */
  readonly rememberMs?: number | undefined;
  readonly attempts?: AttemptLimits | AttemptThrottle | undefined;
  /** Threads that verify passwords. Default: one less than the cores, from 1 to 4. */
  readonly threads?: number | undefined;
  /** Called with the outcome of each login, cached or not. */
  readonly onChecked?: ((outcome: PasswordOutcome) => void) | undefined;
}

/** `unavailable`: the password could not be verified, or too many others wait. */
export type PasswordOutcome = 'right' | 'wrong' | 'throttled' | 'unavailable';

export interface VerifiedUser {
  readonly name: string;
  /** See {@link Htpasswd.fingerprint}. */
  readonly fingerprint: string;
}

/** Bytes of a password that bcrypt uses. */
const bcryptBytes = 72;

/** Entries of the cache of verified passwords: one for each user, and one for each user and address. */
const maxRemembered = 20_000;

const defaultRememberMs = 10 * 60_000;

/** Users and passwords of a password file (`htpasswd -B`). */
export class Htpasswd {
  readonly #file: PasswordFile;
  readonly #attempts: AttemptThrottle;
  /** Hashes of verified credentials, with and without the client's address. */
  readonly #verified: ExpiringSet;
  readonly #verifier: Verifier;
  readonly #onChecked: (outcome: PasswordOutcome) => void;
  /** Logins in progress, by user, password and address. */
  readonly #logins = new SingleFlight<string, boolean>();
  /** Verifications in progress, by user and password. */
  readonly #verifications = new SingleFlight<string, boolean>();
  /** Random for each process, so that cache keys are useless elsewhere. */
  readonly #key = createSecretKey(randomBytes(32));

  private constructor(file: PasswordFile, options: HtpasswdOptions) {
    this.#file = file;
    const { attempts = defaultAttemptLimits } = options;
    this.#attempts = 'begin' in attempts ? attempts : new Attempts(attempts);
    this.#verified = new ExpiringSet(options.rememberMs ?? defaultRememberMs, maxRemembered);
    this.#verifier = new Verifier(options.threads);
    this.#onChecked = options.onChecked ?? (() => undefined);
  }

  /**
   * Reads the users.
   * @throws HtpasswdError for invalid lines, Error if the source cannot be read
   */
  static async open(source: HtpasswdSource, options: HtpasswdOptions): Promise<Htpasswd> {
    const reader = await createReader(source, options.checkEveryMs);
    return new Htpasswd(await PasswordFile.open(reader, options.warn), options);
  }

  /**
   * Verifies a password. A cached one is accepted even while other logins from the same address are throttled, so that an
   * attacker cannot lock out an active user.
   *
   * As in distribution, bcrypt uses the first 72 bytes only: longer passwords with the same beginning are equal.
   * @param address of the client
   * @throws RegistryError UNAUTHORIZED for wrong credentials; TOO_MANY_REQUESTS with Retry-After after too many of them; BUSY if
   *   the queue is full; UNAVAILABLE if passwords cannot be verified
   */
  async verify(name: string, password: string, address: string | undefined): Promise<VerifiedUser> {
    try {
      const user = await this.#verify(name, password, address);
      this.#onChecked('right');
      return user;
    } catch (error) {
      this.#onChecked(outcomeOf(error));
      throw error;
    }
  }

  async #verify(name: string, password: string, address: string | undefined): Promise<VerifiedUser> {
    if (password === '' || Buffer.byteLength(name) > maxNameBytes) throw wrong();
    const entries = await this.#file.current();
    const entry = entries.users.get(name);
    const client = clientKey(address);
    // The hash is part of the keys, so that a changed line invalidates its cached entries.
    const key = this.#hmac([name, password, entry?.hash, client]);
    const isKnown = this.#verified.use(key);
    // As for most requests.
    if (isKnown && entry !== undefined) return verifiedUser(entry);
    // For users that exist too, so that all take the same time.
    const dummyHash = dummyHashFor(name, entries);
    const matches = await this.#login({
      name,
      client,
      credentials: this.#hmac([name, password, entry?.hash]),
      key,
      check: {
        // A copy, since postMessage clones the whole buffer behind a view.
        password: new TextEncoder().encode(password).slice(0, bcryptBytes),
        hash: entry?.hash ?? dummyHash,
        costOfFailure: entries.highestCost,
      },
    });
    if (entry === undefined || !matches) throw wrong();
    return verifiedUser(entry);
  }

  /**
   * Identifies the line of a user, or undefined if there is none. It changes with the password, is the same in all processes,
   * and does not help to guess the password.
   */
  async fingerprint(name: string): Promise<string | undefined> {
    const { users } = await this.#file.current();
    const entry = users.get(name);
    return entry && fingerprintOf(entry);
  }

  async close(): Promise<void> {
    await this.#verifier.close();
  }

  /** @returns whether the password is right */
  async #login(login: Login): Promise<boolean> {
    const { name, client, credentials, key } = login;
    await this.#attempts.assertAllowed(name, client);
    const matches =
      this.#verified.use(credentials) ||
      (await this.#logins.run(key, async () => await this.#attempt(login)));
    if (matches) this.#verified.add(key);
    return matches;
  }

  async #attempt({ name, client, credentials, check }: Login): Promise<boolean> {
    const attempt = await this.#attempts.begin(name, client);
    let isWrong = false;
    try {
      const matches = await this.#verifications.run(
        credentials,
        async () => await this.#verifier.verify(check),
      );
      isWrong = !matches;
      if (matches) this.#verified.add(credentials);
      return matches;
    } finally {
      attempt.end(isWrong);
    }
  }

  #hmac(parts: readonly unknown[]): string {
    return createHmac('sha256', this.#key).update(JSON.stringify(parts)).digest('base64');
  }
}

interface Login {
  readonly name: string;
  readonly client: string;
  /** HMAC of user and password. */
  readonly credentials: string;
  /** HMAC of user, password and address. */
  readonly key: string;
  readonly check: Check;
}

function verifiedUser(entry: Entry): VerifiedUser {
  return {
    name: entry.name,
    // On demand: only tokens have it.
    get fingerprint() {
      return fingerprintOf(entry);
    },
  };
}

/** The line has a salt of 128 bits, so that neither line nor password can be found by brute force. */
function fingerprintOf({ name, hash }: Entry): string {
  return createHmac('sha256', 'stowage: line of a password file')
    .update(`${name}:${hash}`)
    .digest('base64url');
}

function outcomeOf(error: unknown): PasswordOutcome {
  const failure = error instanceof RegistryError ? error.failure : undefined;
  if (failure === 'UNAUTHORIZED') return 'wrong';
  return failure === 'TOO_MANY_REQUESTS' ? 'throttled' : 'unavailable';
}

function wrong(): RegistryError {
  return new RegistryError('UNAUTHORIZED', 'wrong user name or password');
}
