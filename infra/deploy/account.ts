import { CloudFormationClient } from '@aws-sdk/client-cloudformation';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { S3Client } from '@aws-sdk/client-s3';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';

/** An account of AWS and its clients for one region. */
export interface Account {
  /** 12 digits. */
  readonly id: string;
  /** ARN of the caller. */
  readonly caller: string;
  readonly region: string;
  readonly cloudformation: CloudFormationClient;
  readonly lambda: LambdaClient;
  readonly s3: S3Client;
  readonly secrets: SecretsManagerClient;
}

/** Milliseconds for the longest job, which is a function's maximum. */
const invocationTimeoutMs = 900_000;

/**
 * The region of the command line, of the environment or of the profile.
 * @throws Error with the remedy if there is none
 */
export async function findRegion(given: string | undefined): Promise<string> {
  const { AWS_REGION, AWS_DEFAULT_REGION } = process.env;
  for (const region of [given, AWS_REGION, AWS_DEFAULT_REGION])
    if (region !== undefined && region !== '') return region;
  try {
    return await new STSClient({}).config.region();
  } catch (error) {
    throw new Error(
      'region: missing; name it with --region, such as --region eu-central-1, or set AWS_REGION',
      {
        cause: error,
      },
    );
  }
}

/** @throws Error with the remedy if there are no valid credentials */
export async function openAccount(region: string): Promise<Account> {
  try {
    const { Account: id = '', Arn: caller = '' } = await new STSClient({ region }).send(
      new GetCallerIdentityCommand({}),
    );
    return {
      id,
      caller,
      region,
      cloudformation: new CloudFormationClient({ region }),
      // One attempt: another one would run a job twice at the same time.
      lambda: new LambdaClient({
        region,
        maxAttempts: 1,
        requestHandler: { requestTimeout: invocationTimeoutMs },
      }),
      // An emulator has no host names of buckets.
      s3: new S3Client({ region, forcePathStyle: isEmulated() }),
      secrets: new SecretsManagerClient({ region }),
    };
  } catch (error) {
    throw new Error(explainCredentials(error as Error, region), { cause: error });
  }
}

/** Whether AWS_ENDPOINT_URL names a server that stands for AWS. */
export function isEmulated(): boolean {
  return (process.env['AWS_ENDPOINT_URL'] ?? '') !== '';
}

const howToLogIn =
  'log in with "aws sso login" or "aws configure" and name the profile in AWS_PROFILE, or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary ones, AWS_SESSION_TOKEN';

/** What is wrong with the credentials, and what to do, by the error of GetCallerIdentity. */
export function explainCredentials({ name, message }: Error, region: string): string {
  if (name.includes('Expired') || message.includes('expired'))
    return `the credentials of AWS have expired; ${howToLogIn}`;
  if (/CredentialsProvider|TokenProvider/.test(name))
    return `there are no credentials of AWS (${firstLine(message)}); ${howToLogIn}`;
  if (
    /InvalidClientTokenId|UnrecognizedClient|SignatureDoesNotMatch|InvalidSignature|IncompleteSignature/.test(
      name,
    )
  )
    return `AWS does not know these credentials (${name}); ${howToLogIn}. A region that the account has not enabled answers alike`;
  if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|TimeoutError/.test(`${name} ${message}`))
    return `AWS cannot be reached in the region ${region} (${firstLine(message)}); check the network, a proxy, and the name of the region`;
  return `the credentials of AWS cannot be used: ${name}: ${firstLine(message)}; ${howToLogIn}`;
}

function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').replace(/\.$/, '');
}
