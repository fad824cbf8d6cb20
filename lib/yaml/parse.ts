import { Composer, Lexer, LineCounter, Parser, type CST, type ErrorCode, type ParsedNode } from 'yaml';

/** What limits the work on a text, since the library has no limits of its own. */
export interface YamlLimits {
  /** Tokens, without spaces. The parser needs up to 3 µs for each. */
  readonly maxTokens: number;
  readonly maxFaults: number;
  /** Whether the warnings of the library are faults, such as that of an unknown tag. */
  readonly warningsCount: boolean;
}

export interface YamlFault {
  readonly code: ErrorCode | 'TOO_MANY_TOKENS';
  /** The words of the library, which may quote the text; empty for `MULTIPLE_DOCS` and `TOO_MANY_TOKENS`. */
  readonly message: string;
  /** From 1. */
  readonly line: number;
}

/** The first document of a YAML text. */
export interface ParsedYaml {
  readonly root: ParsedNode | null;
  readonly lines: LineCounter;
  /** At most `maxFaults`. */
  readonly faults: readonly YamlFault[];
  /** The lines with anchors (`&name`), at most `maxFaults`. */
  readonly anchors: readonly number[];
  /** The lines with a lone `!`, at most `maxFaults`: YAML takes `! x` for `x`. */
  readonly lonelyTags: readonly number[];
}

/** Parses a text, all of whose scalars are texts. It stops after `maxTokens` and `maxFaults`. */
export function parseYaml(text: string, limits: YamlLimits): ParsedYaml {
  const lines = new LineCounter();
  const faults: YamlFault[] = [];
  const anchors: number[] = [];
  const lonelyTags: number[] = [];
  const report: Report = (code, message, offset) => {
    faults.push({ code, message, line: Math.max(1, lines.linePos(offset).line) });
    if (faults.length === limits.maxFaults) throw new TooMany();
  };
  const noteIn = (list: number[]) => () => {
    if (list.length < limits.maxFaults) list.push(lines.lineStarts.length);
  };
  const notes = { onAnchor: noteIn(anchors), onLonelyTag: noteIn(lonelyTags) };
  let root: ParsedNode | null = null;
  try {
    const tokens = tokensOf(text, limits.maxTokens, { lines, report, ...notes });
    const [first, second] = createComposer(report, limits).compose(tokens, true, text.length);
    for (const { code, message, pos } of first?.errors ?? []) report(code, message, pos[0]);
    if (second !== undefined) report('MULTIPLE_DOCS', '', second.range[0]);
    root = first?.contents ?? null;
  } catch (error) {
    if (!(error instanceof TooMany)) throw error;
  }
  return { root, lines, faults, anchors, lonelyTags };
}

type Report = (code: YamlFault['code'], message: string, offset: number) => void;

/** Ends the parsing. */
class TooMany extends Error {}

/**
 * The private callback of the library keeps each error with its stack trace, which takes 10 s for 1 MiB of braces. So it is
 * replaced, and no error token reaches the composer. Duplicate keys are found later: the library compares all keys in pairs.
 */
function createComposer(report: Report, { warningsCount }: YamlLimits): Composer {
  const composer = new Composer({ schema: 'failsafe', uniqueKeys: false });
  const onError = (
    source: number | [number, number] | CST.Token,
    code: ErrorCode,
    message: string,
    isWarning = false,
  ) => {
    if (isWarning && !warningsCount) return;
    const offset = typeof source === 'number' ? source : Array.isArray(source) ? source[0] : source.offset;
    report(code, message, offset);
  };
  return Object.defineProperty(composer, 'onError', { value: onError });
}

/** Spaces, and marks that the lexer adds. */
const uncounted = /^[ \t\u0002\u0018\u001f]/;

/** What the lexer puts before a scalar without quotes. */
const scalarMark = '\u001f';

function* tokensOf(
  text: string,
  maxTokens: number,
  {
    lines,
    report,
    onAnchor,
    onLonelyTag,
  }: { lines: LineCounter; report: Report; onAnchor: () => void; onLonelyTag: () => void },
): Generator<CST.Token> {
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  let count = 0;
  let ends = 0;
  let previous = '';
  for (const lexeme of new Lexer().lex(text)) {
    if (!uncounted.test(lexeme) && ++count > maxTokens) {
      report('TOO_MANY_TOKENS', '', lines.lineStarts.at(-1) ?? 0);
      throw new TooMany();
    }
    if (lexeme.startsWith('&') && previous !== scalarMark) onAnchor();
    if (lexeme === '!' && previous !== scalarMark) onLonelyTag();
    previous = lexeme;
    for (const token of parser.next(lexeme))
      if (token.type === 'error')
        report('UNEXPECTED_TOKEN', `${token.message}: ${JSON.stringify(token.source)}`, token.offset);
      else if (token.type !== 'doc-end' || ++ends === 1) yield token;
  }
  yield* parser.end();
}
