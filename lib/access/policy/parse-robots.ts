import { Fields } from './fields.ts';
import type { PolicyContent } from './model.ts';
import type { ParseContext } from './parse-context.ts';
import { shown, type YamlNode } from './yaml-reader.ts';

/** Reads which robot tokens are invalid. */
export function readRobots(
  context: ParseContext,
  node: YamlNode,
): Pick<PolicyContent, 'revokedRobots' | 'robotsNotBefore'> {
  if (node === null) return { revokedRobots: new Set(), robotsNotBefore: undefined };
  const fields = new Fields(context.reader, node, 'robots', ['revoked', 'not-before']);
  const revoked = fields.optional('revoked', (value, what) => readNames(context, value, what)) ?? [];
  return {
    revokedRobots: new Set(revoked),
    robotsNotBefore: fields.optional('not-before', (value, what) => readTime(context, value, what)),
  };
}

/** Reads the names. The list may be empty. */
function readNames(context: ParseContext, node: YamlNode, what: string): string[] {
  const { reader } = context;
  if (reader.isEmptyList(node)) return [];
  return reader
    .texts(node, what)
    .map(({ text, node: at }) => ({ text: text.replace(/^robot:/, ''), node: at }))
    .filter((text) => context.isName(text, 'a robot'))
    .map(({ text }) => text);
}

const timePattern = /^(\d{4}-\d{2}-\d{2})(?:T\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2}))?$/;

/** Seconds since 1970. */
function readTime({ reader }: ParseContext, node: YamlNode, what: string): number | undefined {
  const text = reader.text(node, what)?.text;
  if (text === undefined) return undefined;
  const [, date] = timePattern.exec(text) ?? [];
  const milliseconds = date !== undefined && isDate(date) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(milliseconds)) return milliseconds / 1000;
  reader.fault(
    node,
    `${what} cannot be ${shown(text)}; it must be a date, or a time with a zone: 2026-11-01 or 2026-11-01T00:00:00Z`,
  );
  return undefined;
}

/** `Date.parse` accepts February 30 as March 2. */
function isDate(date: string): boolean {
  const time = Date.parse(date);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(date);
}
