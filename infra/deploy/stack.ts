import {
  DescribeStacksCommand,
  GetTemplateCommand,
  type Stack as StackDescription,
} from '@aws-sdk/client-cloudformation';
import { GetFunctionConfigurationCommand } from '@aws-sdk/client-lambda';
import type { Account } from './account.ts';
import { packagesBucket } from './changes.ts';
import { functionsOf, type Package, type Template } from './template.ts';

/** A stack as it is deployed. */
export interface Stack {
  readonly name: string;
  readonly status: string;
  /** Milliseconds since 1970: when its last change began. */
  readonly changedAt: number;
  readonly outputs: Readonly<Record<string, string>>;
}

/** The name that osls gives. */
export function stackName(stage: string): string {
  return `stowage-${stage}`;
}

/** Undefined if there is none. */
export async function findStack({ cloudformation }: Account, name: string): Promise<Stack | undefined> {
  const description = await cloudformation.send(new DescribeStacksCommand({ StackName: name })).then(
    ({ Stacks: [first] = [] }) => first,
    (error: unknown) => {
      if ((error as Error).message.includes('does not exist')) return undefined;
      throw error;
    },
  );
  if (description === undefined || description.StackStatus === 'DELETE_COMPLETE') return undefined;
  const { StackStatus: status = '', CreationTime, LastUpdatedTime = CreationTime } = description;
  return { name, status, changedAt: LastUpdatedTime?.getTime() ?? 0, outputs: outputsOf(description) };
}

function outputsOf({ Outputs = [] }: StackDescription): Record<string, string> {
  return Object.fromEntries(Outputs.map(({ OutputKey = '', OutputValue = '' }) => [OutputKey, OutputValue]));
}

/** The template that was deployed, and the code that the functions have. */
export async function readDeployed(account: Account, stack: Stack): Promise<Package> {
  const template = await readTemplate(account, stack);
  const code = functionsOf(template).map(async ([id, { Properties }]) => {
    const hash = await readCodeHash(account, Properties?.['FunctionName']);
    return [id, hash] as const;
  });
  return { template, code: new Map(await Promise.all(code)) };
}

/** @throws Error if a deployment of this project did not make the stack */
export async function readTemplate({ cloudformation }: Account, { name, status }: Stack): Promise<Template> {
  const { TemplateBody = '{"Resources":{}}' } = await cloudformation.send(
    new GetTemplateCommand({ StackName: name, TemplateStage: 'Original' }),
  );
  const template = parseTemplate(TemplateBody, name);
  // osls puts it into the first template of each stack. One whose first change was never carried out has no resources.
  if (template.Resources[packagesBucket] === undefined && status !== 'REVIEW_IN_PROGRESS')
    throw madeByOther(name);
  return template;
}

function madeByOther(name: string, cause?: unknown): Error {
  return new Error(`the stack ${name} was made by something else; choose another --stage`, { cause });
}

/** osls writes JSON. */
function parseTemplate(text: string, name: string): Template {
  try {
    return JSON.parse(text) as Template;
  } catch (error) {
    throw madeByOther(name, error);
  }
}

/** Empty if the function is not there. */
async function readCodeHash({ lambda }: Account, name: unknown): Promise<string> {
  if (typeof name !== 'string') return '';
  return await lambda.send(new GetFunctionConfigurationCommand({ FunctionName: name })).then(
    ({ CodeSha256 = '' }) => CodeSha256,
    (error: unknown) => {
      if ((error as Error).name === 'ResourceNotFoundException') return '';
      throw error;
    },
  );
}

/**
 * Why a stack in this status cannot be deployed, with the remedy; undefined if it can.
 * @param remove the command that removes it
 */
export function statusFault({ name, status }: Stack, remove: string): string | undefined {
  if (status.endsWith('_IN_PROGRESS') && status !== 'REVIEW_IN_PROGRESS')
    return `the stack ${name} is being changed (${status}); wait until that is over, then run the command again`;
  if (status === 'UPDATE_ROLLBACK_FAILED')
    return `the stack ${name} could not go back to its last state (${status}); run "aws cloudformation continue-update-rollback --stack-name ${name}", then run the command again`;
  // A stack whose first creation failed can only be deleted.
  if (['ROLLBACK_COMPLETE', 'ROLLBACK_FAILED', 'CREATE_FAILED', 'DELETE_FAILED'].includes(status))
    return `the stack ${name} cannot be updated (${status}); run "${remove}", which keeps images and secrets, then run the command again`;
  return undefined;
}
