import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  CreateStackCommand,
  DescribeStacksCommand,
  waitUntilStackCreateComplete,
} from '@aws-sdk/client-cloudformation';
import { AssumeRoleWithWebIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import type { S3Client } from '@aws-sdk/client-s3';
import { bucketProxy } from '../servers/bucket-proxy.ts';
import { accountId, ministack, region } from '../servers/ministack.ts';

const template = join(import.meta.dirname, '../../infra/ci/aws-role.yml');

/** An account on the emulator with the role of CI. */
export interface EmulatedAccount {
  /** Base URL, over which requests count as TLS: buckets take nothing else. */
  readonly url: string;
  /** The account's root, in S3. */
  readonly s3: S3Client;
  /** The ARN of the boundary that the role asks for. */
  readonly boundary: string;
  /** What a job of GitHub has in its environment once it has the role. @param subject the `sub` claim of its token */
  credentialsOf(subject: string): Promise<Readonly<Record<string, string>>>;
  stop(): Promise<void>;
}

/** Starts the emulator and makes the role of an environment with the template. */
export async function emulatedAccount(
  parameters: Readonly<Record<string, string>>,
): Promise<EmulatedAccount> {
  const emulator = await ministack();
  const front = await bucketProxy(emulator.url, { 'x-forwarded-proto': 'https' });
  const { cloudFormation } = emulator.aws;
  const name = 'stowage-ci';
  // The emulator knows no providers of OIDC tokens, and takes tokens without a signature. It does not know the condition either.
  const provider = `arn:aws:iam::${accountId}:oidc-provider/token.actions.githubusercontent.com`;
  const body = readFileSync(template, 'utf8')
    .replace(/^ {2}OidcProvider:\n {4}Type[^]*?\n\n/m, '')
    .replaceAll('!Ref OidcProvider', '!Ref Provider')
    .replace(/^ +Condition:\n +'Null':\n +s3:if-none-match: .*\n/m, '');
  await cloudFormation.send(
    new CreateStackCommand({
      StackName: name,
      TemplateBody: body,
      Capabilities: ['CAPABILITY_NAMED_IAM'],
      Parameters: Object.entries({ Provider: provider, ...parameters }).map(([key, value]) => ({
        ParameterKey: key,
        ParameterValue: value,
      })),
    }),
  );
  await waitUntilStackCreateComplete(
    { client: cloudFormation, maxWaitTime: 60, minDelay: 1 },
    { StackName: name },
  );
  const { Stacks: [stack] = [] } = await cloudFormation.send(new DescribeStacksCommand({ StackName: name }));
  const output = (key: string) =>
    stack?.Outputs?.find(({ OutputKey }) => OutputKey === key)?.OutputValue ?? '';
  const sts = new STSClient({
    endpoint: emulator.url,
    region,
    credentials: { accessKeyId: '', secretAccessKey: '' },
  });
  return {
    url: front.endpoint,
    s3: emulator.aws.s3,
    boundary: output('Boundary'),
    credentialsOf: async (subject) => {
      const { Credentials } = await sts.send(
        new AssumeRoleWithWebIdentityCommand({
          RoleArn: output('Role'),
          RoleSessionName: 'ci',
          WebIdentityToken: tokenOf(subject),
        }),
      );
      return {
        AWS_ENDPOINT_URL: front.endpoint,
        // osls asks every 5 s, and the emulator is done at once.
        SLS_AWS_MONITORING_FREQUENCY: '200',
        AWS_REGION: region,
        AWS_ACCESS_KEY_ID: Credentials?.AccessKeyId ?? '',
        AWS_SECRET_ACCESS_KEY: Credentials?.SecretAccessKey ?? '',
        AWS_SESSION_TOKEN: Credentials?.SessionToken ?? '',
      };
    },
    stop: async () => {
      await front.stop();
      await emulator.stop();
    },
  };
}

function tokenOf(sub: string): string {
  const claims = {
    iss: 'https://token.actions.githubusercontent.com',
    aud: 'sts.amazonaws.com',
    sub,
    exp: 4e9,
    iat: 1,
  };
  const parts = [JSON.stringify({ alg: 'RS256', typ: 'JWT' }), JSON.stringify(claims), 'unsigned'];
  return parts.map((part) => Buffer.from(part).toString('base64url')).join('.');
}
