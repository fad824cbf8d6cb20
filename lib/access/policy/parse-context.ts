import { didYouMean } from '../../config/did-you-mean.ts';
import { actions, type Action } from '../access.ts';
import type { Member, Who } from './model.ts';
import { Pattern, repositoryPatternFault, tagPatternFault } from './patterns.ts';
import { shown, type Text, type YamlNode, type YamlReader } from './yaml-reader.ts';

/** Patterns of repositories, tags and claims in one file. */
const maxPatterns = 20_000;

/** Keywords of `who`, and prefixes of other names. */
const keywords = ['anonymous', 'authenticated'] as const;
const prefixes = ['group', 'robot', 'ci'] as const;

/** Most names that are compared for a suggestion. */
const maxCompared = 1000;

/** Longest user name, in characters. */
const maxUser = 255;

/** Names of groups, robots and CI identities. */
const plainName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const plainNameRule = 'must have 1 to 64 letters, digits, . _ and -, and begin with a letter or digit';

/** Reads what sections have in common: names, patterns and actions. Reports faults to the reader. */
export class ParseContext {
  readonly reader: YamlReader;
  readonly #groups: ReadonlySet<string>;
  readonly #ci: ReadonlySet<string>;
  #patterns = 0;

  /** @param names defined in the file */
  constructor(
    reader: YamlReader,
    names: { readonly groups: readonly string[]; readonly ci: readonly string[] },
  ) {
    this.reader = reader;
    this.#groups = new Set(names.groups);
    this.#ci = new Set(names.ci);
  }

  /** Whether a text is a valid name of a group, robot or CI identity. If not, that is a fault. */
  isName({ text, node }: Text, what: string): boolean {
    const isValid = plainName.test(text);
    if (!isValid)
      this.reader.fault(node, `${shown(text)} is not a valid name of ${what}: it ${plainNameRule}`);
    return isValid;
  }

  /** Reads the entries of `who`. */
  who(node: YamlNode, what: string): Who[] {
    return this.reader
      .texts(node, what)
      .map((text) => this.#who(text))
      .filter((who) => who !== undefined);
  }

  #who(given: Text): Who | undefined {
    if (given.text === '*') return { kind: 'everybody' };
    const keyword = keywords.find((word) => word === given.text);
    return keyword === undefined ? this.#named(given, prefixes) : { kind: keyword };
  }

  /** Reads a member of a group. */
  member(given: Text): Member | undefined {
    const who = this.#named(given, ['robot', 'ci']);
    return who === undefined || who.kind === 'group' ? undefined : { kind: who.kind, name: who.name };
  }

  /** Reads `alice`, or a name with one of the allowed prefixes. */
  #named(
    given: Text,
    allowed: readonly (typeof prefixes)[number][],
  ): Extract<Who, { name: string }> | undefined {
    const { text, node } = given;
    const colon = text.indexOf(':');
    if (colon < 0) return this.#user(given);
    const prefix = allowed.find((word) => word === text.slice(0, colon));
    const name = text.slice(colon + 1);
    if (prefix === undefined) {
      const known = allowed.map((word) => `${word}:`);
      const hint = didYouMean(text.slice(0, colon + 1), known) ?? `the prefixes here are ${known.join(', ')}`;
      this.reader.fault(node, `${shown(text)} is not a valid name: user names have no colon; ${hint}`);
      return undefined;
    }
    if (!this.isName({ text: name, node }, `a ${prefix}`)) return undefined;
    const defined = prefix === 'group' ? this.#groups : prefix === 'ci' ? this.#ci : undefined;
    if (defined?.has(name) === false) {
      const suggestion = defined.size > maxCompared ? undefined : didYouMean(name, defined);
      this.reader.fault(
        node,
        `there is no ${text}; ${suggestion ?? `define ${name} below ${prefix === 'ci' ? 'ci' : 'groups'}`}`,
      );
    }
    return { kind: prefix, name };
  }

  #user({ text, node }: Text): Extract<Who, { name: string }> | undefined {
    const fault =
      text.length > maxUser || /\p{Cc}/u.test(text)
        ? `a user name must be one line of at most ${maxUser} characters`
        : text.includes('*')
          ? `${shown(text)} is not a valid name: names are not patterns; write '*' for everybody`
          : keywords.some((keyword) => keyword === text)
            ? `${text} is not a user; it is allowed in who only`
            : this.#groups.has(text)
              ? `${text} is a group; did you mean group:${text}?`
              : undefined;
    if (fault === undefined) return { kind: 'user', name: text };
    this.reader.fault(node, fault);
    return undefined;
  }

  /** Reads one or more repository patterns. @param ofUser whether they may contain `${user}` */
  repositories(node: YamlNode, what: string, { ofUser }: { ofUser: boolean }): Pattern[] {
    return this.patterns(node, what, {
      fault: (text) => repositoryPatternFault(text, { ofUser }),
      ofUser,
    });
  }

  tags(node: YamlNode, what: string): Pattern[] {
    return this.patterns(node, what, { fault: tagPatternFault });
  }

  /** Reads one or more patterns. @param fault returns why a text is invalid */
  patterns(
    node: YamlNode,
    what: string,
    { fault, ofUser = false }: { fault: (text: string) => string | undefined; ofUser?: boolean },
  ): Pattern[] {
    const patterns: Pattern[] = [];
    for (const { text, node: at } of this.reader.texts(node, what)) {
      const reason = fault(text);
      if (reason !== undefined)
        this.reader.fault(at, `${what}: ${shown(text)} is not a valid pattern: ${reason}`);
      else patterns.push(new Pattern(text, { ofUser }));
      if (++this.#patterns === maxPatterns + 1)
        this.reader.fault(at, `the policy has more than ${maxPatterns} patterns`);
    }
    return patterns;
  }

  /** Reads one or more actions, or `*` for all. */
  actions(node: YamlNode, what: string): ReadonlySet<Action> {
    const given = this.reader.texts(node, what);
    if (given.some(({ text }) => text === '*')) return new Set(actions);
    return new Set(
      given.map((text) => this.reader.oneOf(text, what, actions)).filter((action) => action !== undefined),
    );
  }
}
