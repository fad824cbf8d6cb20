import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, type ScalarTag, type CollectionTag } from 'yaml';

/** The template of the role of CI. */
export const text = readFileSync(join(import.meta.dirname, '../../../infra/ci/aws-role.yml'), 'utf8');

/** A statement of a policy. */
export interface Statement {
  readonly Sid: string;
  readonly Action: string | readonly string[];
  readonly Resource: unknown;
  readonly Condition?: unknown;
}

interface RoleTemplate {
  readonly Parameters: Readonly<Record<string, { readonly AllowedPattern?: string }>>;
  readonly Resources: Readonly<
    Record<string, { readonly Type: string; readonly Condition?: string; readonly Properties: never }>
  >;
}

/** CloudFormation's short forms, as their long ones. */
const shortForms: (ScalarTag | CollectionTag)[] = [
  'Sub',
  'Ref',
  'GetAtt',
  'Equals',
  'Not',
  'Or',
  'If',
].flatMap((name) => {
  const long = name === 'Ref' ? name : `Fn::${name}`;
  const resolve = (value: unknown) => ({ [long]: value });
  return [
    { tag: `!${name}`, resolve: (value: string) => resolve(value) },
    {
      tag: `!${name}`,
      collection: 'seq' as const,
      resolve: (value: unknown) => resolve((value as { toJSON(): unknown }).toJSON()),
    },
  ];
});

export const template = parse(text, { customTags: shortForms }) as RoleTemplate;

/** The statements of a policy, with those that a condition switches on. */
export function statementsOf(id: string): Statement[] {
  const { PolicyDocument: document } = template.Resources[id]?.Properties as unknown as {
    PolicyDocument: { Statement: (Statement | { 'Fn::If': [string, Statement] })[] };
  };
  return document.Statement.map((one) => ('Fn::If' in one ? one['Fn::If'][1] : one));
}

/** The actions of a statement, which may be one or a list. */
export function actionsOf({ Action }: Statement): string[] {
  return [Action].flat();
}
