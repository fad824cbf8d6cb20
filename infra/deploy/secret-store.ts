import {
  CreateSecretCommand,
  DeleteSecretCommand,
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  RestoreSecretCommand,
} from '@aws-sdk/client-secrets-manager';
import type { Account } from './account.ts';
import { DeployError } from './deploy-error.ts';

/** A secret of Secrets Manager. */
export type StoredSecret =
  | { readonly state: 'missing' }
  /** It will be deleted, and its value cannot be read before it is restored. */
  | { readonly state: 'deleted' }
  /** It was made and has no value yet. */
  | { readonly state: 'empty' }
  | {
      readonly state: 'stored';
      readonly text: string;
      /** Names this value; not a secret. */
      readonly version: string;
      readonly changedAt: Date;
    };

/** Days in which a deleted secret can be restored: the most that AWS offers (API reference of DeleteSecret). */
export const recoveryDays = 30;

export async function readSecret({ secrets }: Account, name: string): Promise<StoredSecret> {
  try {
    const { DeletedDate } = await secrets.send(new DescribeSecretCommand({ SecretId: name }));
    if (DeletedDate !== undefined) return { state: 'deleted' };
  } catch (error) {
    if (isMissing(error)) return { state: 'missing' };
    throw error;
  }
  try {
    const value = await secrets.send(new GetSecretValueCommand({ SecretId: name }));
    const { SecretString: text = '', VersionId: version = '', CreatedDate: changedAt = new Date() } = value;
    return { state: 'stored', text, version, changedAt };
  } catch (error) {
    // It has no version with the stage AWSCURRENT.
    if (isMissing(error)) return { state: 'empty' };
    throw error;
  }
}

/** A value, and the UUID that will name it. */
export interface NamedValue {
  readonly name: string;
  readonly text: string;
  readonly version: string;
}

/**
 * Stores a secret that was not there. Of several deployments that do so at once, one succeeds.
 * @throws DeployError if another value is there
 */
export async function createSecret(account: Account, value: NamedValue): Promise<void> {
  const { name, text, version } = value;
  const create = new CreateSecretCommand({
    Name: name,
    Description: 'Settings of the registry Stowage',
    SecretString: text,
    ClientRequestToken: version,
  });
  try {
    const { VersionId } = await account.secrets.send(create);
    // An emulator names the value by itself.
    if (VersionId !== version) await writeSecret(account, value);
  } catch (error) {
    if ((error as Error).name !== 'ResourceExistsException') throw error;
    const stored = await readSecret(account, name);
    if (stored.state === 'empty') await writeSecret(account, value);
    else if (stored.state !== 'stored' || stored.version !== version)
      throw changedMeanwhile(`the secret ${name}`);
  }
}

/** Replaces the value of a secret that is there. */
export async function writeSecret({ secrets }: Account, { name, text, version }: NamedValue): Promise<void> {
  await secrets.send(
    new PutSecretValueCommand({ SecretId: name, SecretString: text, ClientRequestToken: version }),
  );
}

/** @param what has changed since the plan was made */
export function changedMeanwhile(what: string): DeployError {
  return new DeployError(
    `Another deployment of this stage has begun: it has changed ${what}. This one stops; run the command again when the other one is over.`,
  );
}

export async function restoreSecret({ secrets }: Account, name: string): Promise<void> {
  await secrets.send(new RestoreSecretCommand({ SecretId: name }));
}

/** @returns whether there was one */
export async function deleteSecret({ secrets }: Account, name: string): Promise<boolean> {
  try {
    await secrets.send(new DeleteSecretCommand({ SecretId: name, RecoveryWindowInDays: recoveryDays }));
    return true;
  } catch (error) {
    // InvalidRequestException: it is being deleted already.
    if (isMissing(error) || (error as Error).name === 'InvalidRequestException') return false;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return (error as Error).name === 'ResourceNotFoundException';
}
