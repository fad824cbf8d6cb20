import { readDuration } from '../../protocol/durations.ts';
import { Fields } from './fields.ts';
import type { ParseContext } from './parse-context.ts';
import { readSize } from './parse-size.ts';
import { Pattern, tagPatternFault } from './patterns.ts';
import type { Keep, RetentionRule, TagPattern } from './storage-rules.ts';
import { shown, type YamlNode } from './yaml-reader.ts';

const maxRules = 10_000;

/** Most tags that `newest` keeps. */
const maxNewest = 100_000;

const [hour, day, week] = [3_600_000, 24 * 3_600_000, 7 * 24 * 3_600_000];

/** Bounds of a duration, as they are written, and their milliseconds. */
interface Bounds {
  readonly text: string;
  readonly min: number;
  readonly max: number;
}

const pushed: Bounds = { text: 'from 1h to 520w', min: hour, max: 520 * week };

/** Pulls are recorded by the day, and the records are kept for a year. */
export const pulled: Bounds = { text: 'from 1d to 52w', min: day, max: 52 * week };

/** Collection takes nothing that is younger than a day. */
const untagged: Bounds = { text: 'from 1d to 520w', min: day, max: 520 * week };

export function readRetention(context: ParseContext, node: YamlNode): RetentionRule[] {
  if (node === null) return [];
  const items = context.reader.items(node, 'retention');
  if (items.length > maxRules)
    context.reader.fault(
      items[maxRules] ?? node,
      `retention has ${items.length} rules, more than ${maxRules}`,
    );
  return items.slice(0, maxRules).map((item, index) => readRule(context, item, `retention ${index + 1}`));
}

const keys = ['repositories', 'tags', 'keep', 'untaggedAfter', 'expires', 'otherwise'] as const;

function readRule(context: ParseContext, node: YamlNode, label: string): RetentionRule {
  const { reader } = context;
  const fields = new Fields(reader, node, label, keys);
  const repositories = fields.required('repositories', (value, what) =>
    context.repositories(value, what, { ofUser: false }),
  );
  const tags = fields.optional('tags', (value, what) => readTags(context, value, what));
  const keep = fields.optional('keep', (value, what) => readKeep(context, value, what));
  const otherwise = fields.optional('otherwise', (value, what) =>
    reader.choice(value, what, ['keep', 'delete']),
  );
  if (otherwise === 'delete' && !fields.has('keep'))
    fields.fault(
      `${label} has otherwise: delete but no keep, so tags would go as soon as they are pushed; add keep, such as { pushedWithin: 1d }`,
    );
  return {
    label,
    line: reader.lineOf(node),
    repositories: repositories ?? [],
    tags: tags ?? [{ pattern: new Pattern('*'), excludes: false }],
    keep: keep ?? {
      newest: undefined,
      pushedWithinMs: undefined,
      pulledWithinMs: undefined,
      sizeBytes: undefined,
    },
    untaggedAfterMs: fields.optional('untaggedAfter', (value, what) =>
      readMs(context, value, what, untagged),
    ),
    expiresByLabel:
      fields.optional('expires', (value, what) => reader.choice(value, what, ['label'])) !== undefined,
    deletesOthers: otherwise === 'delete',
  };
}

/** Reads patterns of tags, of which the last that matches decides; with `!` it excludes. */
export function readTags(context: ParseContext, node: YamlNode, what: string): TagPattern[] {
  const patterns = context.patterns(node, what, {
    fault: (text) => (text === '!' ? 'a pattern must follow the !' : tagPatternFault(text.replace(/^!/, ''))),
  });
  if (patterns[0]?.text.startsWith('!') === true)
    context.reader.fault(
      node,
      `${what} begins with an exclusion, which excludes nothing there; begin with what the rule is about, as in ['*', '${patterns[0].text}']`,
    );
  return patterns.map(({ text }) => ({
    pattern: new Pattern(text.replace(/^!/, '')),
    excludes: text.startsWith('!'),
  }));
}

const keepKeys = ['newest', 'pushedWithin', 'pulledWithin', 'size'] as const;

function readKeep(context: ParseContext, node: YamlNode, what: string): Keep {
  const fields = new Fields(context.reader, node, what, keepKeys);
  if (!keepKeys.some((key) => fields.has(key)))
    fields.fault(`${what} is empty; it can have newest, pushedWithin, pulledWithin and size`);
  return {
    newest: fields.optional('newest', (value, of) => readNewest(context, value, of)),
    pushedWithinMs: fields.optional('pushedWithin', (value, of) => readMs(context, value, of, pushed)),
    pulledWithinMs: fields.optional('pulledWithin', (value, of) => readMs(context, value, of, pulled)),
    sizeBytes: fields.optional('size', (value, of) => readSize(context, value, of)),
  };
}

function readNewest({ reader }: ParseContext, node: YamlNode, what: string): number | undefined {
  const text = reader.text(node, what)?.text;
  if (text === undefined) return undefined;
  const number = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= maxNewest) return number;
  reader.fault(
    node,
    `${what} cannot be ${shown(text)}; it must be a number of tags from 1 to ${maxNewest}, such as 10`,
  );
  return undefined;
}

/** Milliseconds. */
function readMs(
  { reader }: ParseContext,
  node: YamlNode,
  what: string,
  { text: bounds, min, max }: Bounds,
): number | undefined {
  const text = reader.text(node, what)?.text;
  if (text === undefined) return undefined;
  const milliseconds = readDuration(text) ?? Number.NaN;
  if (milliseconds >= min && milliseconds <= max) return milliseconds;
  reader.fault(node, `${what} cannot be ${shown(text)}; it must be a time ${bounds}, such as 72h, 30d or 4w`);
  return undefined;
}
