import { isRepositoryName } from '../../protocol/names.ts';
import { isTag } from '../../protocol/tags.ts';
import { actions } from '../access.ts';
import { Fields } from './fields.ts';
import type { PolicyTest } from './model.ts';
import type { ParseContext } from './parse-context.ts';
import { shown, type Text, type YamlNode } from './yaml-reader.ts';

const keys = ['as', 'repository', 'action', 'tag', 'exists', 'expect'] as const;

/** Reads the tests. Invalid ones are left out. */
export function readTests(context: ParseContext, node: YamlNode): PolicyTest[] {
  if (node === null) return [];
  return context.reader
    .items(node, 'tests')
    .map((item, index) => readTest(context, item, `test ${index + 1}`))
    .filter((test) => test !== undefined);
}

function readTest(context: ParseContext, node: YamlNode, what: string): PolicyTest | undefined {
  const { reader } = context;
  const fields = new Fields(reader, node, what, keys);
  const as = readAs(context, fields.requiredText('as'));
  const repository = fields.requiredText('repository');
  const action = fields.required('action', (value, of) => reader.choice(value, of, actions));
  const tag = fields.optional('tag', (value, of) => reader.text(value, of));
  const exists = fields.optional('exists', (value, of) => reader.choice(value, of, ['true', 'false']));
  const expect = fields.required('expect', (value, of) => reader.choice(value, of, ['allow', 'deny']));
  if (repository !== undefined && !isRepositoryName(repository.text))
    reader.fault(repository.node, `${shown(repository.text)} is not a repository name`);
  if (tag !== undefined && !isTag(tag.text)) reader.fault(tag.node, `${shown(tag.text)} is not a tag`);
  if (exists !== undefined && tag === undefined) fields.fault(`${what} has exists but no tag`);
  if (as === undefined || repository === undefined || action === undefined || expect === undefined)
    return undefined;
  return {
    line: reader.lineOf(node),
    as,
    repository: repository.text,
    action,
    tag: tag?.text,
    exists: exists === 'true',
    expect,
  };
}

function readAs(context: ParseContext, given: Text | undefined): PolicyTest['as'] | undefined {
  if (given?.text === 'anonymous') return { kind: 'anonymous' };
  return given === undefined ? undefined : context.member(given);
}
