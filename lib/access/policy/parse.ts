import { keyOf, maxPolicySize, sizeFault, type PolicyContent } from './model.ts';
import { readCi } from './parse-ci.ts';
import { ParseContext } from './parse-context.ts';
import { readRobots } from './parse-robots.ts';
import { readImmutableTags, readReadOnly, readRules } from './parse-rules.ts';
import { readTests } from './parse-tests.ts';
import { Policy } from './policy.ts';
import { PolicyError } from './policy-error.ts';
import { shown, YamlReader, type YamlNode } from './yaml-reader.ts';

const sections = ['groups', 'ci', 'robots', 'read-only', 'immutable-tags', 'rules', 'tests'] as const;

/**
 * Parses and validates a policy file (docs/policy.md).
 * @throws PolicyError with the syntax errors of invalid YAML, otherwise with all faults
 */
export function parsePolicy(text: string): Policy {
  assertText(text);
  const reader = new YamlReader(text);
  const values = new Map(
    reader.entries(reader.root, 'the policy', sections).map(({ key, value }) => [key, value]),
  );
  // Otherwise a truncated file would deny everything.
  if (reader.isMapping(reader.root) && !values.has('rules'))
    reader.fault(reader.root, 'the policy has no rules; if there are none, write rules: []');
  const section = (name: (typeof sections)[number]): YamlNode => {
    const node = values.get(name) ?? null;
    return reader.isEmpty(node) || reader.isEmptyList(node) ? null : node;
  };
  const names = { groups: reader.keys(section('groups')), ci: reader.keys(section('ci')) };
  const context = new ParseContext(reader, names);
  const content: PolicyContent = {
    groups: readGroups(context, section('groups')),
    ci: readCi(context, section('ci')),
    ...readRobots(context, section('robots')),
    readOnly: readReadOnly(context, section('read-only')),
    immutableTags: readImmutableTags(context, section('immutable-tags')),
    rules: readRules(context, section('rules')),
    tests: readTests(context, section('tests')),
  };
  reader.assertValid();
  return new Policy(content);
}

function readGroups(context: ParseContext, node: YamlNode): Map<string, ReadonlySet<string>> {
  const { reader } = context;
  const groups = new Map<string, ReadonlySet<string>>();
  if (node === null) return groups;
  for (const { key, keyNode, value } of reader.entries(node, 'groups')) {
    if (!context.isName({ text: key, node: keyNode }, 'a group')) continue;
    const texts = reader.isEmptyList(value) ? [] : reader.texts(value, `group ${key}`);
    const members = texts.map((text) => context.member(text)).filter((member) => member !== undefined);
    groups.set(key, new Set(members.map(keyOf)));
  }
  return groups;
}

/** Refuses large, binary and empty files before they are parsed. */
function assertText(text: string): void {
  if (Buffer.byteLength(text) > maxPolicySize) throw new PolicyError([{ line: 1, message: sizeFault }]);
  const control = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.exec(text);
  if (control !== null) {
    const line = text.slice(0, control.index).split('\n').length;
    throw new PolicyError([
      { line, message: `this is not text: it contains the character ${shown(control[0])}` },
    ]);
  }
  if (text.trim() === '') throw new PolicyError([{ line: 1, message: 'the file is empty' }]);
}
