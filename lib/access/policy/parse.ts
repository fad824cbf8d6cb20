import { keyOf, maxPolicySize, sizeFault, type PolicyContent } from './model.ts';
import { readCi } from './parse-ci.ts';
import { ParseContext } from './parse-context.ts';
import { readQuotas } from './parse-quotas.ts';
import { readRetention } from './parse-retention.ts';
import { readRobots } from './parse-robots.ts';
import { readImmutableTags, readReadOnly, readRules } from './parse-rules.ts';
import { readTests } from './parse-tests.ts';
import { Policy } from './policy.ts';
import { PolicyError } from './policy-error.ts';
import type { StorageRules } from './storage-rules.ts';
import { shown, YamlReader, type YamlNode } from './yaml-reader.ts';

/** Sections that need no access control of this registry. */
const storageSections = ['retention', 'quotas'] as const;

const sections = [
  ...['groups', 'ci', 'robots', 'read-only', 'immutable-tags', 'rules', 'tests'],
  ...storageSections,
];

/**
 * Parses and validates a policy file (docs/policy.md).
 * @throws PolicyError with the syntax errors of invalid YAML, otherwise with all faults
 */
export function parsePolicy(text: string): Policy {
  const { reader, section, has } = open(text, sections);
  // Otherwise a truncated file would deny everything.
  if (reader.isMapping(reader.root) && !has('rules'))
    reader.fault(reader.root, 'the policy has no rules; if there are none, write rules: []');
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
    retention: readRetention(context, section('retention')),
    quotas: readQuotas(context, section('quotas')),
  };
  reader.assertValid();
  return new Policy(content);
}

/**
 * Parses and validates a policy file that says nothing about access (docs/retention.md).
 * @throws PolicyError as `parsePolicy`
 */
export function parseStorageRules(text: string): StorageRules {
  const { reader, section } = open(text, storageSections);
  const context = new ParseContext(reader, { groups: [], ci: [] });
  const rules: StorageRules = {
    retention: readRetention(context, section('retention')),
    quotas: readQuotas(context, section('quotas')),
  };
  reader.assertValid();
  return rules;
}

/** Whether a text has only sections that a file has which says nothing about access. */
export function isAboutStorage(text: string): boolean {
  try {
    assertText(text);
    const reader = new YamlReader(text);
    const keys = reader.keys(reader.root);
    return keys.length > 0 && keys.every((key) => storageSections.some((name) => name === key));
  } catch (error) {
    if (error instanceof PolicyError) return false;
    throw error;
  }
}

/** Reads the sections of a file. @throws PolicyError if it is not YAML */
function open(text: string, names: readonly string[]) {
  assertText(text);
  const reader = new YamlReader(text);
  const values = new Map(
    reader.entries(reader.root, 'the policy', names).map(({ key, value }) => [key, value]),
  );
  return {
    reader,
    has: (name: string): boolean => values.has(name),
    /** Null if it is empty. */
    section: (name: string): YamlNode => {
      const node = values.get(name) ?? null;
      return reader.isEmpty(node) || reader.isEmptyList(node) ? null : node;
    },
  };
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
