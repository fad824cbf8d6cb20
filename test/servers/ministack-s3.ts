import { createHash } from 'node:crypto';
import { GetAccessKeyLastUsedCommand, SimulatePrincipalPolicyCommand } from '@aws-sdk/client-iam';
import { paginateListFunctions } from '@aws-sdk/client-lambda';
import { HeadObjectCommand } from '@aws-sdk/client-s3';
import { bucketProxy, type BucketProxy, type BucketRequest } from './bucket-proxy.ts';
import { accountId, rootKey, type AwsClients, type Ministack } from './ministack.ts';

/**
 * Starts a proxy before the emulator's S3, as the endpoint of registries, with two things that AWS has and the emulator has not.
 *
 * - To a caller without `s3:ListBucket` on the bucket, a missing key is 403, not 404
 *   (https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html, "Permissions").
 * - Requests are TLS's, so that a bucket may refuse all others: the emulator believes `X-Forwarded-Proto`.
 */
export async function ministackS3({ url, aws }: Pick<Ministack, 'url' | 'aws'>): Promise<BucketProxy> {
  const proxy = await bucketProxy(url, { 'x-forwarded-proto': 'https' });
  const callers = new Callers(aws);
  proxy.intercept = async (request) => {
    const key = keyRead(request);
    if (key === undefined) return 'pass';
    const caller = await callers.of(accessKeyOf(request));
    if (caller === undefined || (await callers.mayList(caller, request.bucket))) return 'pass';
    if (await exists(aws, request.bucket, key)) return 'pass';
    return { status: 403, code: 'AccessDenied' };
  };
  return proxy;
}

/** The key whose object a request must find, if there is one. */
function keyRead({ method, key, headers }: BucketRequest): string | undefined {
  const source = headers['x-amz-copy-source'];
  if (typeof source === 'string') return decodeURIComponent(source).replace(/^\/?[^/]+\//, '');
  return key !== '' && (method === 'GET' || method === 'HEAD') ? key : undefined;
}

/** Of the signature, in a header or a signed URL. */
function accessKeyOf({ headers, query }: BucketRequest): string {
  const credential =
    /Credential=([^,]+)/.exec(headers.authorization ?? '')?.[1] ?? query.get('X-Amz-Credential');
  return credential?.split('/')[0] ?? '';
}

async function exists({ s3 }: AwsClients, bucket: string, key: string): Promise<boolean> {
  try {
    await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
    return true;
  } catch (error) {
    if ((error as Error).name === 'NotFound') return false;
    throw error;
  }
}

/** Users, and the roles of functions. */
class Callers {
  readonly #aws: AwsClients;
  readonly #byAccessKey = new Map<string, string>();

  constructor(aws: AwsClients) {
    this.#aws = aws;
  }

  /** The ARN; undefined for the account's root. */
  async of(accessKey: string): Promise<string | undefined> {
    if (accessKey === rootKey) return undefined;
    if (!this.#byAccessKey.has(accessKey))
      await (accessKey.startsWith('AKIA') ? this.#readUser(accessKey) : this.#readRoles());
    const caller = this.#byAccessKey.get(accessKey);
    if (caller === undefined)
      throw new Error(`neither a user nor a function has the access key ${accessKey}`);
    return caller;
  }

  async mayList(caller: string, bucket: string): Promise<boolean> {
    const { EvaluationResults: [result] = [] } = await this.#aws.iam.send(
      new SimulatePrincipalPolicyCommand({
        PolicySourceArn: caller,
        ActionNames: ['s3:ListBucket'],
        ResourceArns: [`arn:aws:s3:::${bucket}`],
      }),
    );
    return result?.EvalDecision === 'allowed';
  }

  async #readUser(accessKey: string): Promise<void> {
    const { UserName = '' } = await this.#aws.iam.send(
      new GetAccessKeyLastUsedCommand({ AccessKeyId: accessKey }),
    );
    this.#byAccessKey.set(accessKey, `arn:aws:iam::${accountId}:user/${UserName}`);
  }

  async #readRoles(): Promise<void> {
    for await (const { Functions = [] } of paginateListFunctions({ client: this.#aws.lambda }, {}))
      for (const { FunctionArn = '', Role = '' } of Functions)
        this.#byAccessKey.set(sessionKey(FunctionArn, Role), Role);
  }
}

/** The access key of a function, as the emulator makes it (`execution_credentials` in its core/lambda_runtime.py). */
function sessionKey(functionArn: string, role: string): string {
  const digest = createHash('sha256').update(`${functionArn}:${role}`).digest('hex');
  return `ASIA${digest.slice(0, 16).toUpperCase()}`;
}
