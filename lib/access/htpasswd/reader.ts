import { HtpasswdError } from './entries.ts';

/** Reads a password file, and detects whether it has changed. */
export interface Reader {
  /** The name in messages. */
  readonly name: string;
  /** Minimum milliseconds between reads. */
  readonly intervalMs: number;
  /**
   * @returns undefined if the text has not changed since the last read
   * @throws Error with the reason why it cannot be read
   */
  read(): Promise<string | undefined>;
}

/** @throws HtpasswdError */
export function decode(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new HtpasswdError(`${name} is not UTF-8 text`, { cause: error });
  }
}
