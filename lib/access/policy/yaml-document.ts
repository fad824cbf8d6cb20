import type { LineCounter, ParsedNode } from 'yaml';
import { parseYaml, type YamlFault } from '../../yaml/parse.ts';
import type { PolicyFault } from './policy-error.ts';

/** Tokens of a policy. 1 MiB of rules has some 200,000. */
const maxTokens = 300_000;

/** Faults that are kept. */
export const maxFaults = 1000;

export const quoteHint = "a value that begins with * must be in quotes, as in '**'";

const tagHint = "a value that begins with ! must be in quotes, as in '!v*'";

const anchorHint = "anchors have no use here; a value that begins with & must be in quotes, as in '&a'";

/** The YAML document of a policy. */
export interface PolicyDocument {
  readonly root: ParsedNode | null;
  readonly lines: LineCounter;
  /** Syntax errors, anchors and tags of YAML, at most three times {@link maxFaults}. */
  readonly faults: readonly PolicyFault[];
  /** False if a syntax error makes the meaning of the text uncertain. */
  readonly isReadable: boolean;
}

/**
 * Parses the text of a policy. Anchors are faults, since a value that begins with `&` would silently be empty, and so is a lone
 * `!`, since what it excludes would silently be included.
 */
export function parsePolicy(text: string): PolicyDocument {
  const { root, lines, faults, anchors, lonelyTags } = parseYaml(text, {
    maxTokens,
    maxFaults,
    warningsCount: true,
  });
  const texts = text.split('\n');
  return {
    root,
    lines,
    faults: [
      ...faults.map((fault) => ({ line: fault.line, message: sentence(fault, texts[fault.line - 1] ?? '') })),
      ...anchors.map((line) => ({ line, message: anchorHint })),
      ...lonelyTags.map((line) => ({ line, message: tagHint })),
    ],
    isReadable: faults.every(({ code }) => code === 'BAD_ALIAS' || code === 'TAG_RESOLVE_FAILED'),
  };
}

function sentence({ code, message }: YamlFault, text: string): string {
  if (code === 'BAD_ALIAS') return quoteHint;
  return code === 'TAG_RESOLVE_FAILED' ? tagHint : words(code, message) + hintFor(text);
}

function words(code: YamlFault['code'], message: string): string {
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
