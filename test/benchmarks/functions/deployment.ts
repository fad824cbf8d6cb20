import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HttpFunctionName } from '../../../infra/gateway.ts';
import { accessTokenKey, publicKeyText } from '../../../lib/access/tokens/keys.ts';
import { signAccessToken } from '../../../lib/access/tokens/access-tokens.ts';
import { secretsOf } from '../../../infra/stack/secrets.ts';
import { basic, htpasswdOf } from '../../access/policy-registry.ts';
import { Client } from '../../functions/client.ts';
import { onVersitygw } from '../../servers/buckets.ts';
import { testCertificate } from '../../servers/certificate.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { unpackFunction } from '../../servers/packaged-functions.ts';
import { serve } from '../../servers/stowage.ts';
import type { MeasuredFunction } from './measure.ts';
import { encrypted, secretsManager } from './services.ts';

/** Functions of the last build, with what they talk to. */
export interface Deployment {
  readonly functions: readonly MeasuredFunction[];
  stop(): Promise<void>;
}

type Headers = Readonly<Record<string, string>>;

const repository = 'team/app';
const service = 'registry.example.com';
const tokenSecret = 'the secret of tokens of a benchmark';
const userSecret = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:users';
const policy = 'rules:\n  - { repositories: "**", who: alice, allow: "*" }\n';

/** Functions with the default parameters of a deployment: a bucket of S3, a policy, and secrets in Secrets Manager. */
export async function deployForBenchmark(): Promise<Deployment> {
  const folder = await temporaryFolder('bench-functions');
  const certificate = join(folder.path, 'certificate.pem');
  await writeFile(certificate, testCertificate);
  const buckets = await onVersitygw.start();
  const bucket = await buckets.newBucket();
  await (await bucket.open()).put('stowage/policy.yaml', Buffer.from(policy));
  const layer = await pushImage(bucket.settings);
  const s3 = await encrypted(Number(new URL(buckets.endpoint).port));
  const secrets = await secretsManager({
    http: JSON.stringify({ REGISTRY_HTTP_SECRET: 'the secret of URLs of a benchmark' }),
    token: JSON.stringify({ REGISTRY_AUTH_POLICY_SECRET: tokenSecret }),
    [userSecret]: await htpasswdOf(['alice']),
  });
  const token = await bearer();
  const functions = Object.entries(requestsFor(layer)).map(async ([key, [method, path, status]]) => {
    const name = key as HttpFunctionName;
    const place = join(folder.path, name);
    await unpackFunction(name, ['s3', 'policy'], place);
    const settings = {
      ...inLambda(name, bucket.settings),
      ...accessSettings(name),
      REGISTRY_STORAGE_S3_REGIONENDPOINT: s3.url,
      AWS_ENDPOINT_URL_SECRETS_MANAGER: secrets.url,
      NODE_EXTRA_CA_CERTS: certificate,
    };
    const event = eventOf(method, path, name === 'token' ? basic('alice') : token);
    return { name, folder: place, settings, event, status };
  });
  return {
    functions: await Promise.all(functions),
    stop: async () => {
      await Promise.all([s3.stop(), secrets.stop(), buckets.stop()]);
      folder.remove();
    },
  };
}

/** @returns the digest of a layer */
async function pushImage(settings: Headers): Promise<string> {
  const server = await serve(settings, { REGISTRY_AUTH: 'none' });
  const { layer } = await new Client(`http://${server.address}`).pushImage(repository, 'v1');
  await server.stop();
  return layer;
}

/** A request that each function answers. */
function requestsFor(
  layer: string,
): Partial<Record<HttpFunctionName, readonly [method: string, path: string, status: number]>> {
  const base = `/v2/${repository}`;
  return {
    base: ['GET', '/v2/', 200],
    manifests: ['GET', `${base}/manifests/v1`, 200],
    blobs: ['GET', `${base}/blobs/${layer}`, 307],
    uploads: ['POST', `${base}/blobs/uploads/`, 202],
    tags: ['GET', `${base}/tags/list`, 200],
    token: ['GET', `/token?service=${service}&scope=repository:${repository}:pull`, 200],
  };
}

/** Valid for longer than the token service would say, as a benchmark takes a while. */
async function bearer(): Promise<Headers> {
  const access = [{ type: 'repository', name: repository, actions: ['pull', 'push'] }];
  const identity = { kind: 'user', name: 'alice' } as const;
  const token = await signAccessToken(accessTokenKey(tokenSecret), service, { identity, access }, 3600);
  return { authorization: `Bearer ${token}` };
}

/** What Lambda sets beside ("Defined runtime environment variables"). */
const lambdaVariables = {
  _HANDLER: 'function.handler',
  _X_AMZN_TRACE_ID: 'Root=1-67891233-abcdef012345678912345678',
  AWS_DEFAULT_REGION: 'eu-central-1',
  AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
  AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '512',
  AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
  AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
  AWS_LAMBDA_LOG_GROUP_NAME: '/aws/lambda/stowage',
  AWS_LAMBDA_LOG_STREAM_NAME: '2026/11/27/[$LATEST]0',
  AWS_LAMBDA_RUNTIME_API: '127.0.0.1:9001',
  AWS_REGION: 'eu-central-1',
  LAMBDA_RUNTIME_DIR: '/var/runtime',
  LAMBDA_TASK_ROOT: '/var/task',
  LANG: 'en_US.UTF-8',
  TZ: ':UTC',
};

/** Lambda gives a function the keys of its role in the environment. */
function inLambda(name: string, settings: Headers): Headers {
  const {
    REGISTRY_STORAGE_S3_ACCESSKEY: AWS_ACCESS_KEY_ID = '',
    REGISTRY_STORAGE_S3_SECRETKEY: AWS_SECRET_ACCESS_KEY = '',
    ...others
  } = settings;
  return {
    ...others,
    ...lambdaVariables,
    AWS_LAMBDA_FUNCTION_NAME: `stowage-bench-${name}`,
    AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY,
    REGISTRY_STORAGE_S3_CONDITIONALWRITES: 'true',
  };
}

/** As a deployment sets them. */
function accessSettings(name: HttpFunctionName): Headers {
  const secrets = secretsOf(name, { storage: 's3', auth: 'policy', search: 'bucket', settings: {} });
  const read = secrets.filter((kind) => kind !== 'htpasswd');
  return {
    REGISTRY_AUTH: 'policy',
    REGISTRY_AUTH_POLICY_OBJECT: 'stowage/policy.yaml',
    REGISTRY_AUTH_POLICY_SERVICE: service,
    ...(name === 'token'
      ? { REGISTRY_AUTH_HTPASSWD_PATH: userSecret }
      : { REGISTRY_AUTH_POLICY_PUBLICKEYS: publicKeyText(tokenSecret) }),
    ...(read.length > 0 && { REGISTRY_SECRETS: read.join(',') }),
  };
}

/** As API Gateway sends it, in payload format 2.0. */
function eventOf(method: string, target: string, headers: Headers): object {
  const [path = '', query = ''] = target.split('?');
  const sent = {
    accept: 'application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json',
    'content-length': '0',
    forwarded: `by=10.0.0.1;for=192.0.2.1;host=${service};proto=https`,
    host: service,
    'user-agent': 'docker/29.0 go/go1.25 kernel/6.8 os/linux arch/amd64',
    'x-amzn-trace-id': 'Root=1-67891233-abcdef012345678912345678',
    ...headers,
  };
  const http = { method, path, protocol: 'HTTP/1.1', sourceIp: '192.0.2.1', userAgent: sent['user-agent'] };
  return {
    version: '2.0',
    routeKey: '$default',
    rawPath: path,
    rawQueryString: query,
    headers: sent,
    requestContext: { http, requestId: 'JKJaXmPLvHcESHA=', stage: '$default', domainName: service },
    isBase64Encoded: false,
  };
}
