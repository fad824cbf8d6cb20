import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** A resource of CloudFormation. */
export interface Resource {
  readonly Type: string;
  readonly Properties?: Readonly<Record<string, unknown>>;
  readonly DeletionPolicy?: string;
}

/** What is read of a template. */
export interface Template {
  readonly Resources: Readonly<Record<string, Resource>>;
  readonly Outputs?: Readonly<Record<string, unknown>>;
}

/** Functions by their logical ids, with the hash of their code (SHA-256, base64), as Lambda gives it. */
export type CodeHashes = ReadonlyMap<string, string>;

/** A template with its packages. */
export interface Package {
  readonly template: Template;
  readonly code: CodeHashes;
}

/** The folder that `serverless package` has written. */
export async function readPackage(folder: string): Promise<Package> {
  const text = await readFile(join(folder, 'cloudformation-template-update-stack.json'), 'utf8');
  const template = JSON.parse(text) as Template;
  const code = functionsOf(template).map(async ([id, { Properties }]) => {
    const { S3Key = '' } = (Properties?.['Code'] ?? {}) as { S3Key?: string };
    const bytes = await readFile(join(folder, basename(S3Key)));
    return [id, createHash('sha256').update(bytes).digest('base64')] as const;
  });
  return { template, code: new Map(await Promise.all(code)) };
}

export function functionsOf({ Resources }: Template): [string, Resource][] {
  return Object.entries(Resources).filter(([, { Type }]) => Type === 'AWS::Lambda::Function');
}
