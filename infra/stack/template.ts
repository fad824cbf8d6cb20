/** A value of a CloudFormation template, such as a text or an intrinsic function. */
export type Value = string | number | boolean | readonly Value[] | { readonly [name: string]: Value };

export interface Resource {
  readonly Type: string;
  readonly Properties?: Readonly<Record<string, Value>>;
  readonly DependsOn?: readonly string[];
  readonly DeletionPolicy?: 'Retain' | 'Delete';
  readonly UpdateReplacePolicy?: 'Retain' | 'Delete';
}

export interface Output {
  readonly Description: string;
  readonly Value: Value;
}

/** One part of the stack: what it adds to the template. */
export interface Template {
  /** By logical id, which no other part has. */
  readonly Resources: Readonly<Record<string, Resource>>;
  readonly Outputs?: Readonly<Record<string, Output>>;
}

export function ref(id: string): Value {
  return { Ref: id };
}

export function attribute(id: string, name: string): Value {
  return { 'Fn::GetAtt': [id, name] };
}

/** @param text with `${LogicalId}` and `${LogicalId.Attribute}`, also those of AWS such as `${AWS::Region}` */
export function sub(text: string): Value {
  return { 'Fn::Sub': text };
}

/** Merges parts. @throws Error when two of them have the same resource or output */
export function mergeTemplates(parts: readonly Template[]): Required<Template> {
  const merged = { Resources: {} as Record<string, Resource>, Outputs: {} as Record<string, Output> };
  for (const { Resources, Outputs = {} } of parts) {
    for (const id of Object.keys(Resources)) assertNew(id, merged.Resources);
    for (const id of Object.keys(Outputs)) assertNew(id, merged.Outputs);
    Object.assign(merged.Resources, Resources);
    Object.assign(merged.Outputs, Outputs);
  }
  return merged;
}

function assertNew(id: string, known: object): void {
  if (Object.hasOwn(known, id)) throw new Error(`two parts of the stack have ${id}`);
}
