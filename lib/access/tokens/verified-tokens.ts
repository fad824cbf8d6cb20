import { hash } from 'node:crypto';

/** Tokens that are remembered, and the longest one in characters: together some megabytes at most. */
const maxTokens = 500;
const maxLength = 4096;

/** What a valid token says. */
export interface Verified<T> {
  readonly value: T;
  /** When it expires, in seconds since 1970, with what clocks may differ. */
  readonly until: number;
}

/**
 * Remembers valid tokens until they expire: a client sends one with each request, and verifying a signature takes longer than the rest
 * of a small request. For issuers and keys that stay the same while the process runs, and for nothing else that may change.
 */
export class VerifiedTokens<T> {
  /** By SHA-256, oldest first. */
  readonly #tokens = new Map<string, Verified<T> & { readonly sinceMs: number }>();

  /** @param verify rejects for a token that is not valid now @returns what the token says */
  async read(token: string, verify: () => Promise<Verified<T>>): Promise<T> {
    const key = hash('sha256', token, 'base64');
    const known = this.#tokens.get(key);
    const now = Date.now();
    // Before the time at which it was verified, it may not be valid yet: the clock has been set back.
    if (known !== undefined && known.sinceMs <= now && now < known.until * 1000) return known.value;
    this.#tokens.delete(key);
    const verified = await verify();
    if (token.length <= maxLength) this.#remember(key, verified);
    return verified.value;
  }

  #remember(key: string, verified: Verified<T>): void {
    this.#tokens.set(key, { ...verified, sinceMs: Date.now() });
    const [oldest] = this.#tokens.keys();
    if (this.#tokens.size > maxTokens && oldest !== undefined) this.#tokens.delete(oldest);
  }
}
