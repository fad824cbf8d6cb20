import { Fields } from './fields.ts';
import type { ImmutableTags, Rule } from './model.ts';
import type { ParseContext } from './parse-context.ts';
import type { Pattern } from './patterns.ts';
import type { YamlNode } from './yaml-reader.ts';

const maxRules = 10_000;

/** Longest rule name, in characters. It is in logs and messages. */
const maxName = 100;

/** Reads the patterns of read-only repositories. */
export function readReadOnly(context: ParseContext, node: YamlNode): Pattern[] {
  return node === null ? [] : context.repositories(node, 'read-only', { ofUser: false });
}

export function readImmutableTags(context: ParseContext, node: YamlNode): ImmutableTags[] {
  if (node === null) return [];
  return context.reader.items(node, 'immutable-tags').map((item, index) => {
    const label = `immutable-tags ${index + 1}`;
    const fields = new Fields(context.reader, item, label, ['repositories', 'tags', 'except']);
    return {
      label,
      repositories:
        fields.required('repositories', (value, what) =>
          context.repositories(value, what, { ofUser: false }),
        ) ?? [],
      tags: fields.required('tags', (value, what) => context.tags(value, what)) ?? [],
      except: fields.optional('except', (value, what) => context.tags(value, what)) ?? [],
    };
  });
}

export function readRules(context: ParseContext, node: YamlNode): Rule[] {
  if (node === null) return [];
  const items = context.reader.items(node, 'rules');
  if (items.length > maxRules)
    context.reader.fault(items[maxRules] ?? node, `there are ${items.length} rules, more than ${maxRules}`);
  return items.slice(0, maxRules).map((item, index) => readRule(context, item, index + 1));
}

function readRule(context: ParseContext, node: YamlNode, number: number): Rule {
  const what = `rule ${number}`;
  const fields = new Fields(context.reader, node, what, ['name', 'who', 'repositories', 'allow', 'deny']);
  const name = fields.optional('name', (value, of) => readName(context, value, of));
  const who = fields.required('who', (value, of) => context.who(value, of)) ?? [];
  const repositories =
    fields.required('repositories', (value, of) => context.repositories(value, of, { ofUser: true })) ?? [];
  const allow = fields.optional('allow', (value, of) => context.actions(value, of));
  const deny = fields.optional('deny', (value, of) => context.actions(value, of));
  if (allow !== undefined && deny !== undefined)
    fields.fault(`${what} has both allow and deny; make two rules of it`);
  if (allow === undefined && deny === undefined) fields.fault(`${what} has neither allow nor deny`);
  return {
    label: name === undefined ? what : `${what} (${name})`,
    line: context.reader.lineOf(node),
    who,
    repositories,
    allows: allow !== undefined,
    actions: allow ?? deny ?? new Set(),
  };
}

function readName({ reader }: ParseContext, node: YamlNode, what: string): string | undefined {
  const name = reader.text(node, what)?.text;
  if (name !== undefined && (name.length > maxName || !/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u.test(name)))
    reader.fault(node, `${what} must be one line of at most ${maxName} characters`);
  return name;
}
