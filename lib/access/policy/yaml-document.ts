import { Composer, Lexer, LineCounter, Parser, type CST, type ParsedNode } from 'yaml';
import type { PolicyFault } from './policy-error.ts';

/** Tokens of a policy, without spaces. 1 MiB of rules has some 200,000, and the parser needs up to 3 µs for each. */
const maxTokens = 300_000;

/** Faults that are kept. */
export const maxFaults = 1000;

export const quoteHint = "a value that begins with * must be in quotes, as in '**'";

/** The first document of a YAML text. */
export interface YamlDocument {
  readonly root: ParsedNode | null;
  readonly lines: LineCounter;
  /** Syntax errors, at most {@link maxFaults}. */
  readonly faults: readonly PolicyFault[];
  /** False if a syntax error makes the meaning of the text uncertain. */
  readonly isReadable: boolean;
}

/** Parses a text. It stops after `maxTokens` and `maxFaults`, since the library has no limits of its own. */
export function parseYaml(text: string): YamlDocument {
  const lines = new LineCounter();
  const texts = text.split('\n');
  const faults: PolicyFault[] = [];
  let isReadable = true;
  const report: Report = (code, message, offset) => {
    const line = Math.max(1, lines.linePos(offset).line);
    const hint = code === 'BAD_ALIAS' ? quoteHint : sentence(code, message) + hintFor(texts[line - 1] ?? '');
    faults.push({ line, message: hint });
    isReadable &&= code === 'BAD_ALIAS';
    if (faults.length === maxFaults) throw new TooMany();
  };
  let root: ParsedNode | null = null;
  try {
    const [first, second] = createComposer(report).compose(tokensOf(text, lines, report), true, text.length);
    for (const { code, message, pos } of first?.errors ?? []) report(code, message, pos[0]);
    if (second !== undefined) report('MULTIPLE_DOCS', '', second.range[0]);
    root = first?.contents ?? null;
  } catch (error) {
    if (!(error instanceof TooMany)) throw error;
  }
  return { root, lines, faults, isReadable };
}

type Report = (code: string, message: string, offset: number) => void;

/** Ends the parsing. */
class TooMany extends Error {}

/**
 * The private callback of the library keeps each error with its stack trace, which takes 10 s for 1 MiB of braces. So it is
 * replaced, and no error token reaches the composer. Duplicate keys are found later: the library compares all keys in pairs.
 */
function createComposer(report: Report): Composer {
  const composer = new Composer({ schema: 'failsafe', uniqueKeys: false });
  const onError = (source: number | [number, number] | CST.Token, code: string, message: string) => {
    const offset = typeof source === 'number' ? source : Array.isArray(source) ? source[0] : source.offset;
    report(code, message, offset);
  };
  return Object.defineProperty(composer, 'onError', { value: onError });
}

/** Spaces, and marks that the lexer adds. */
const uncounted = /^[ \t\u0002\u0018\u001f]/;

function* tokensOf(text: string, lines: LineCounter, report: Report): Generator<CST.Token> {
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  let count = 0;
  let ends = 0;
  for (const lexeme of new Lexer().lex(text)) {
    if (!uncounted.test(lexeme) && ++count > maxTokens) {
      report('TOO_MANY_TOKENS', '', lines.lineStarts.at(-1) ?? 0);
      throw new TooMany();
    }
    for (const token of parser.next(lexeme))
      if (token.type === 'error')
        report('UNEXPECTED_TOKEN', `${token.message}: ${JSON.stringify(token.source)}`, token.offset);
      else if (token.type !== 'doc-end' || ++ends === 1) yield token;
  }
  yield* parser.end();
}

function sentence(code: string, message: string): string {
  if (code === 'RESOURCE_EXHAUSTION') return 'it is nested too deeply';
  if (code === 'MULTIPLE_DOCS') return 'a second document begins here (---); a policy has only one';
  if (code === 'TOO_MANY_TOKENS') return `the policy has more than ${maxTokens} YAML tokens up to here`;
  return `this is not YAML: ${message}`;
}

/** In a list in brackets, YAML parses the braces of `${user}` itself. */
function hintFor(line: string): string {
  return line.includes('${')
    ? '; within [ ] a pattern with ${user} must be in quotes, as in "${user}/**"'
    : '';
}
