/*
 * The lines of a password file, as `htpasswd -B` and `stowage htpasswd` write them.
 */

/** A user and the bcrypt hash of the password. */
export interface Entry {
  readonly name: string;
  /** 60 characters, such as `$2y$10$…`. */
  readonly hash: string;
  /** A verification takes 2^cost rounds. */
  readonly cost: number;
}

/** The users of a file. */
export interface Entries {
  readonly users: ReadonlyMap<string, Entry>;
  /** The cost of each user's hash, in ascending order. */
  readonly costs: readonly number[];
  /** The highest cost of all hashes. Every failed check takes its time. */
  readonly highestCost: number;
}

/** A password file is invalid. The message has each fault with its line number, but no content of the line. */
export class HtpasswdError extends Error {
  override readonly name = 'HtpasswdError';
}

/** bcrypt defines costs from 4 to 31. A check of cost 15 takes about two seconds; each step doubles that. */
export const minCost = 4;
export const maxCost = 15;

/** The cost of new passwords, and of dummy hashes if the file has no users. */
export const defaultCost = 10;

/** The longest user name, in bytes. */
export const maxNameBytes = 255;

/** Faults in one message. */
const maxFaults = 20;

/** RFC 7617 allows no control characters in names and passwords. */
export const controlCharacters = /[\u0000-\u001f\u007f]/;

const bcrypt = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;

/**
 * Parses a file. As in distribution, lines are trimmed, and empty lines and comments (`#`) are skipped. All other lines must be
 * bcrypt entries.
 * @param name of the file, for the message
 * @throws HtpasswdError
 */
export function parseEntries(text: string, name: string): Entries {
  const users = new Map<string, Entry>();
  const lines = new Map<string, number>();
  const faults: string[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const entry = parseLine(line);
    const earlier = typeof entry === 'string' ? undefined : lines.get(entry.name);
    if (typeof entry === 'string') faults.push(`line ${index + 1} ${entry}`);
    else if (earlier !== undefined)
      faults.push(`line ${index + 1} has the same user as line ${earlier}; remove one of them`);
    else {
      users.set(entry.name, entry);
      lines.set(entry.name, index + 1);
    }
  }
  if (faults.length > 0) throw new HtpasswdError(describeFaults(name, faults));
  const costs = [...users.values()].map(({ cost }) => cost).sort((a, b) => a - b);
  return { users, costs, highestCost: costs.at(-1) ?? defaultCost };
}

/** @returns the fault of an invalid line */
function parseLine(line: string): Entry | string {
  const colon = line.indexOf(':');
  if (colon < 0) return 'has no colon; a line is NAME:HASH';
  const [name, hash] = [line.slice(0, colon), line.slice(colon + 1)];
  const fault = nameFault(name);
  if (fault !== undefined) return `has a user name that ${fault}`;
  const [, digits] = bcrypt.exec(hash) ?? [];
  if (digits === undefined) return `${kindOf(hash)}; make the line anew with: stowage htpasswd NAME`;
  const cost = Number(digits);
  if (cost < minCost || cost > maxCost)
    return `has bcrypt cost ${cost}; it must be from ${minCost} to ${maxCost}`;
  return { name, hash, cost };
}

/** What is wrong with a user's name, or undefined. */
export function nameFault(name: string): string | undefined {
  if (name === '') return 'is empty';
  if (name !== name.trim()) return 'begins or ends with a blank';
  if (name.startsWith('#')) return 'begins with #, which makes the line a comment';
  if (name.includes(':')) return 'has a colon';
  if (name === 'anonymous') return 'is anonymous, which the log calls callers that have not logged in';
  if (controlCharacters.test(name)) return 'has a control character';
  return Buffer.byteLength(name) > maxNameBytes ? `is longer than ${maxNameBytes} bytes` : undefined;
}

/** The hash formats of `htpasswd` without `-B`, by their prefixes. */
function kindOf(hash: string): string {
  if (hash.startsWith('$apr1$')) return 'has an MD5 hash, not bcrypt';
  if (hash.startsWith('{SHA}')) return 'has a SHA-1 hash, not bcrypt';
  if (/^\$[56]\$/.test(hash)) return 'has a SHA-2 hash of crypt, not bcrypt';
  if (hash.startsWith('$2')) return 'has an incomplete bcrypt hash';
  return 'has no bcrypt hash';
}

function describeFaults(name: string, faults: readonly string[]): string {
  const more = faults.length - maxFaults;
  const shown = faults.slice(0, maxFaults).map((fault) => `\n  - ${fault}`);
  return `${name} cannot be used:${shown.join('')}${more > 0 ? `\n  - and ${more} more` : ''}`;
}
