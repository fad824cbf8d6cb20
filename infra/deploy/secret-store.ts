import {
  CreateSecretCommand,
  DeleteSecretCommand,
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  RestoreSecretCommand,
} from '@aws-sdk/client-secrets-manager';
import type { Account } from './account.ts';

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

/** @param version a UUID, which will name the value */
export async function writeSecret(
  { secrets }: Account,
  { name, text, version }: { name: string; text: string; version: string },
): Promise<void> {
  const put = new PutSecretValueCommand({ SecretId: name, SecretString: text, ClientRequestToken: version });
  try {
    await secrets.send(put);
  } catch (error) {
    if (!isMissing(error)) throw error;
    await secrets.send(
      new CreateSecretCommand({ Name: name, Description: 'Settings of the registry Stowage' }),
    );
    await secrets.send(put);
  }
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
