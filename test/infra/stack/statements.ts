/** A statement of a policy of IAM, or of a bucket. */
export interface Statement {
  readonly Effect: 'Allow' | 'Deny';
  readonly Principal?: unknown;
  readonly Action: string | readonly string[];
  readonly Resource?: unknown;
}

interface PolicyDocument {
  readonly Statement: readonly Statement[];
}

/** All statements of policies anywhere below a value. */
export function statementsIn(value: unknown): readonly Statement[] {
  if (typeof value !== 'object' || value === null) return [];
  const { Statement = [] } = value as Partial<PolicyDocument>;
  return [...Statement, ...Object.values(value).flatMap(statementsIn)];
}
