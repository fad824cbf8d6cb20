import { isRepositoryName } from '../../protocol/names.ts';

/*
 * Patterns of repository names, tags and claims. `*` matches any characters within one segment (the text between two slashes),
 * and `**` matches any number of segments, including none. Matching uses no regular expressions, and takes at most as many steps
 * as the product of both lengths.
 */

/** Longest pattern, in characters. */
const maxLength = 255;

/** Placeholder of the user name in repository patterns. */
const userVariable = '${user}';

/** `**`, or the texts between the `*` of a segment. */
type Segment = typeof anySegments | readonly string[];
const anySegments = '**';

/** A pattern. Its text was validated by one of the functions below. */
export class Pattern {
  readonly text: string;
  readonly #segments: readonly Segment[];
  readonly #ofUser: boolean;

  constructor(text: string, { ofUser = false } = {}) {
    this.text = text;
    this.#segments = text
      .split('/')
      .map((segment) => (segment === anySegments ? segment : segment.split('*')));
    this.#ofUser = ofUser && text.includes(userVariable);
  }

  /** Whether it contains `${user}`. */
  get ofUser(): boolean {
    return this.#ofUser;
  }

  /**
   * Whether a whole name matches.
   * @param segments of the name, split at slashes
   * @param user for `${user}`; without a user, such a pattern matches nothing
   */
  matches(segments: readonly string[], user?: string): boolean {
    if (!this.#ofUser) return matchSegments(this.#segments, segments);
    return user !== undefined && fitsSegment(user) && matchSegments(this.#expand(user), segments);
  }

  /** Inserts the name into the parsed pattern, so that wildcards in the name have no effect. */
  #expand(user: string): Segment[] {
    return this.#segments.map((segment) =>
      segment === anySegments ? segment : segment.map((part) => part.replaceAll(userVariable, () => user)),
    );
  }
}

/** Whether a user name can be a segment of a repository name, as `${user}` requires. */
export function fitsSegment(user: string): boolean {
  return !user.includes('/') && isRepositoryName(user);
}

/** Backtracks to the last `**` only: earlier ones have the shortest match already, which leaves most to the rest. */
function matchSegments(pattern: readonly Segment[], name: readonly string[]): boolean {
  let at = 0;
  let retry: { at: number; from: number } | undefined;
  let index = 0;
  while (index < name.length) {
    const segment = pattern[at];
    if (segment === anySegments) retry = { at: ++at, from: index };
    else if (segment !== undefined && matchSegment(segment, name[index] ?? '')) {
      at++;
      index++;
    } else if (retry !== undefined) {
      at = retry.at;
      index = ++retry.from;
    } else return false;
  }
  return pattern.slice(at).every((segment) => segment === anySegments);
}

/** @param parts the texts between the `*`; a single part must equal the whole text */
function matchSegment(parts: readonly string[], text: string): boolean {
  const [first = '', ...rest] = parts;
  const last = rest.pop();
  if (last === undefined) return text === first;
  const end = text.length - last.length;
  if (end < first.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let position = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, position);
    if (found < 0 || found + part.length > end) return false;
    position = found + part.length;
  }
  return true;
}

/** Why a text is not a valid repository pattern, or undefined if it is. @param ofUser whether `${user}` is allowed */
export function repositoryPatternFault(text: string, { ofUser }: { ofUser: boolean }): string | undefined {
  const plain = ofUser ? text.replaceAll(userVariable, 'user') : text;
  if (plain.includes('$'))
    return ofUser
      ? 'the only variable is ${user}'
      : plain.includes(userVariable)
        ? '${user} is allowed in rules only'
        : 'variables are not allowed';
  if (/[A-Z]/.test(plain)) return 'repository names are in lower case';
  if (plain.includes(':')) return 'it must not contain a tag';
  return (
    lengthFault(text) ??
    characterFault(plain, /[^a-z0-9._/*-]/) ??
    (plain.split('/').includes('') ? 'it has an empty segment; remove the slash' : undefined) ??
    starsFault(plain)
  );
}

/** Why a text is not a valid tag pattern, or undefined if it is. */
export function tagPatternFault(text: string): string | undefined {
  if (text.includes('**')) return 'tags have no segments; write * instead of **';
  return lengthFault(text) ?? characterFault(text, /[^A-Za-z0-9._*-]/);
}

/** Why a text is not a valid claim pattern, or undefined if it is. */
export function claimPatternFault(text: string): string | undefined {
  return lengthFault(text) ?? starsFault(text);
}

function lengthFault({ length }: string): string | undefined {
  if (length === 0) return 'it must not be empty';
  return length > maxLength ? `it has ${length} characters, more than ${maxLength}` : undefined;
}

function characterFault(text: string, foreign: RegExp): string | undefined {
  const [character] = foreign.exec(text) ?? [];
  if (character === undefined) return undefined;
  const list = character === '{' || character === ',' ? '; write several patterns as a list' : '';
  return `it must not contain the character ${JSON.stringify(character)}${list}`;
}

function starsFault(text: string): string | undefined {
  const wrong = text.split('/').find((segment) => segment.includes('**') && segment !== anySegments);
  return wrong === undefined ? undefined : `** must be a whole segment, unlike in ${wrong}`;
}
