import { withTimeout } from '../../concurrency/with-timeout.ts';
import { parseEntries, type Entries } from './entries.ts';
import type { Reader } from './reader.ts';

/** Milliseconds that a request waits for the file. */
const readTimeoutMs = 5_000;

/** Milliseconds between retries after a failed read. */
const retryAfterMs = 30_000;

/**
 * The current users of a password file. It is re-read when it is used and the interval of its reader has passed. If it is invalid
 * or missing, the last valid users stay in use.
 */
export class PasswordFile {
  readonly #reader: Reader;
  readonly #warn: (message: string) => void;
  #entries: Entries;
  /** By Date.now(), which continues while a function is frozen. */
  #lastReadAt = Date.now();
  #intervalMs: number;
  #reading: Promise<void> | undefined;
  /** The last problem that was logged, so that it is logged once. */
  #problem: string | undefined;

  private constructor(reader: Reader, entries: Entries, warn: (message: string) => void) {
    this.#reader = reader;
    this.#entries = entries;
    this.#warn = warn;
    this.#intervalMs = reader.intervalMs;
    if (entries.users.size === 0) this.#warn(noUsers(reader));
  }

  /** @throws HtpasswdError for invalid lines, Error if it cannot be read */
  static async open(reader: Reader, warn: (message: string) => void): Promise<PasswordFile> {
    const text = (await reader.read()) ?? '';
    return new PasswordFile(reader, parseEntries(text, reader.name), warn);
  }

  /** The users in use. Concurrent callers share one read. */
  async current(): Promise<Entries> {
    const elapsed = Date.now() - this.#lastReadAt;
    // The clock may have been set back.
    if (elapsed < 0 || elapsed >= this.#intervalMs) {
      this.#reading ??= this.#awaitRead(this.#read());
      await this.#reading;
    }
    return this.#entries;
  }

  /** Never rejects. After a timeout the read continues in the background. */
  async #awaitRead(reading: Promise<void>): Promise<void> {
    const late = () => new Error(`${this.#reader.name} cannot be read: it timed out`);
    try {
      await withTimeout(reading, readTimeoutMs, late);
    } catch (error) {
      this.#report(error);
    }
  }

  async #read(): Promise<void> {
    this.#intervalMs = this.#reader.intervalMs;
    try {
      const text = await this.#reader.read();
      if (text !== undefined) this.#replace(parseEntries(text, this.#reader.name));
    } catch (error) {
      this.#intervalMs = Math.min(this.#intervalMs, retryAfterMs);
      this.#report(error);
    } finally {
      this.#lastReadAt = Date.now();
      this.#reading = undefined;
    }
  }

  #replace(entries: Entries): void {
    this.#entries = entries;
    const users = entries.users.size;
    if (users === 0) this.#warn(noUsers(this.#reader));
    else if (this.#problem !== undefined) this.#warn(`${this.#reader.name} is in use again`);
    this.#problem = undefined;
  }

  #report(error: unknown): void {
    const problem = error instanceof Error ? error.message : String(error);
    if (problem === this.#problem) return;
    this.#problem = problem;
    this.#warn(`${problem}\nThe previous users stay in use.`);
  }
}

const noUsers = ({ name }: Reader) => `${name} has no users: nobody can log in`;
