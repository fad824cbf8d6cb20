import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CloudFormationClient } from '@aws-sdk/client-cloudformation';
import { CloudWatchLogsClient } from '@aws-sdk/client-cloudwatch-logs';
import { EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { IAMClient } from '@aws-sdk/client-iam';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { S3Client } from '@aws-sdk/client-s3';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SQSClient } from '@aws-sdk/client-sqs';
import { keepLog } from '../logs/kept.ts';
import { atExit } from './cleanup.ts';
import { temporaryFolder } from './folder.ts';
import { ministackProgram } from './ministack-install.ts';
import { freePort } from './ports.ts';
import { launch, type Server } from './process.ts';

/** An emulator of AWS, which enforces the rights of each role. Its account is empty. */
export interface Ministack {
  /** Base URL of all its services. */
  readonly url: string;
  /** What programs read to work with it as the account's root. */
  readonly env: Readonly<Record<string, string>>;
  readonly aws: AwsClients;
  /** The last of what it and the functions wrote. */
  output(): string;
  /** Ends it and the processes of the functions. */
  stop(): Promise<void>;
}

/** Clients of the services that tests look at. */
export interface AwsClients {
  readonly cloudFormation: CloudFormationClient;
  readonly events: EventBridgeClient;
  readonly iam: IAMClient;
  readonly lambda: LambdaClient;
  readonly logs: CloudWatchLogsClient;
  readonly s3: S3Client;
  readonly secrets: SecretsManagerClient;
  readonly sqs: SQSClient;
}

/** Of the emulator's account. */
export const accountId = '000000000000';
export const region = 'us-east-1';

/** The access key of the account's root, who may do everything. */
export const rootKey = 'test';

const credentials = { accessKeyId: rootKey, secretAccessKey: 'test' };

/** Starts the emulator with a port and a folder of its own. Functions are processes of the Node that runs this one. */
export async function ministack(): Promise<Ministack> {
  const folder = await temporaryFolder('ministack');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const server = await launch(ministackProgram, [], async () => await isReady(url), {
    cwd: folder.path,
    logged: keepLog(),
    // Functions inherit it, so that nothing of this process may be in it.
    env: {
      PATH: [dirname(process.execPath), '/usr/bin', '/bin'].join(':'),
      HOME: folder.path,
      TMPDIR: folder.path,
      AUTH: 'true',
      BIND_HOST: '127.0.0.1',
      GATEWAY_PORT: String(port),
      S3_DATA_DIR: join(folder.path, 's3'),
      // Docker is for databases and containers, which tests do not start.
      DOCKER_HOST: 'unix:///nowhere',
    },
  }).catch((error: unknown) => {
    folder.remove();
    throw error;
  });
  const forget = atExit(() => {
    endFunctions(server);
  });
  return {
    url,
    env: {
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      AWS_REGION: region,
      AWS_ENDPOINT_URL: url,
      // osls asks every 5 s, and the emulator is done at once.
      SLS_AWS_MONITORING_FREQUENCY: '200',
    },
    aws: clients(url),
    output: () => server.output(),
    stop: async () => {
      forget();
      const functions = descendants(server.pid);
      await server.stop();
      end(functions);
      folder.remove();
    },
  };
}

async function isReady(url: string): Promise<boolean> {
  const response = await fetch(`${url}/_ministack/health`);
  await response.body?.cancel();
  return response.ok;
}

function clients(endpoint: string): AwsClients {
  const config = { endpoint, region, credentials };
  return {
    cloudFormation: new CloudFormationClient(config),
    events: new EventBridgeClient(config),
    iam: new IAMClient(config),
    lambda: new LambdaClient(config),
    logs: new CloudWatchLogsClient(config),
    s3: new S3Client({ ...config, forcePathStyle: true }),
    secrets: new SecretsManagerClient(config),
    sqs: new SQSClient(config),
  };
}

/** Functions whose emulator is gone end as soon as they wait for a request; one that does not is ended here. */
function endFunctions({ pid }: Server): void {
  const functions = descendants(pid);
  end([pid, ...functions]);
}

function end(processes: readonly number[]): void {
  for (const pid of processes)
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It is gone.
    }
}

/** The processes that a process has started, and those that they have. None where there is no /proc. */
function descendants(pid: number): number[] {
  if (!existsSync('/proc/self')) return [];
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const parents = new Map(processes.map((name) => [Number(name), parentOf(name)]));
  const children = (parent: number): number[] =>
    [...parents].filter(([, one]) => one === parent).flatMap(([child]) => [child, ...children(child)]);
  return children(pid);
}

/** The fourth field of proc(5)'s stat. The second, a name in parentheses, may have blanks. */
function parentOf(pid: string): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return undefined;
  }
}
