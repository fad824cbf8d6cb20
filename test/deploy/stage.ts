import { fileURLToPath } from 'node:url';
import { DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { GetSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import { functionName, type FunctionName } from '../../infra/gateway.ts';
import { readParameters, type Parameters } from '../../infra/stack/parameters.ts';
import { keepSecrets } from '../logs/kept.ts';
import type { BucketProxy } from '../servers/bucket-proxy.ts';
import { startGateway, type Gateway } from '../servers/gateway.ts';
import { region, type Ministack } from '../servers/ministack.ts';
import { cleanEnvironment, command } from '../servers/process.ts';
import { startProxy } from '../servers/proxy.ts';
import type { User } from './client.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));

/** A stage of the registry on the emulator, at one address of this machine that stays. */
export interface Stage {
  readonly name: string;
  /** Host and port. */
  readonly address: string;
  readonly parameters: Parameters;
  /** The user that the first deployment made; set by it. */
  readonly user: User;
  /** Uploads in progress go there, unless it is undefined: host and port. */
  dataPlane: string | undefined;
  /**
   * `npm run deploy`. @param env secrets for it
   * @returns what it printed
   */
  deploy(env?: Readonly<Record<string, string>>): Promise<string>;
  /** `npm run remove`. @returns what it printed */
  remove(): Promise<string>;
  outputs(): Promise<Readonly<Record<string, string>>>;
  /** The settings in one of its secrets. */
  secret(kind: 'http' | 'token' | 'events'): Promise<Readonly<Record<string, string>>>;
  /** The name of a function at Lambda. */
  functionName(name: FunctionName): string;
  /** Ends what stands for its host. What is deployed stays. */
  stop(): Promise<void>;
}

/** What a stage is made on. */
export interface Place {
  readonly emulator: Ministack;
  readonly s3: BucketProxy;
}

/**
 * Prepares a stage.
 * @param parameters of its deployment
 * @param hasDataPlane whether uploads are sent to the data plane of the stage
 */
export async function newStage(
  { emulator, s3 }: Place,
  name: string,
  parameters: Readonly<Record<string, string>> = {},
  hasDataPlane = false,
): Promise<Stage> {
  const { cloudFormation, secrets } = emulator.aws;
  let gateway: Gateway | undefined;
  let user: User | undefined;
  const front = await startProxy(({ url = '' }) =>
    stage.dataPlane !== undefined && /^\/v2\/.+\/blobs\/uploads\/[^/?]/.test(url)
      ? stage.dataPlane
      : new URL(gateway?.url ?? 'http://127.0.0.1:9').host,
  );
  const url = `http://${front.address}`;
  const settings = {
    ...(parameters['storage'] !== 'scs' && { REGISTRY_STORAGE_S3_REGIONENDPOINT: s3.endpoint }),
    // The address that stands for the gateway's is none that the template knows.
    REGISTRY_HTTP_HOST: url,
    ...(hasDataPlane && { REGISTRY_HTTP_DATAPLANE: url }),
    ...parameters,
  };

  const run = async (program: string, env: Readonly<Record<string, string>>, ...args: string[]) => {
    const all = ['lib/commands/stowage.ts', program, '--stage', name, '--yes', ...args];
    const { text } = await command(process.execPath, all, {
      cwd: project,
      env: cleanEnvironment({ ...emulator.env, ...env }),
    });
    return text;
  };

  const outputs = async () => {
    const { Stacks: [stack] = [] } = await cloudFormation.send(
      new DescribeStacksCommand({ StackName: `stowage-${name}` }),
    );
    return Object.fromEntries(
      (stack?.Outputs ?? []).map(({ OutputKey = '', OutputValue = '' }) => [OutputKey, OutputValue]),
    );
  };

  /** The API has another id after each first deployment. */
  const openGateway = async () => {
    await gateway?.stop();
    const [id = ''] = new URL((await outputs())['ApiUrl'] ?? '').host.split('.');
    gateway = await startGateway({ invokeUrl: `${emulator.url}/_aws/execute-api/${id}/$default` });
  };

  const stage: Stage = {
    name,
    address: front.address,
    parameters: readParameters({ stage: name, region, overrides: settings }),
    dataPlane: undefined,
    get user() {
      if (user === undefined) throw new Error('no deployment has made a user');
      return user;
    },
    deploy: async (env = {}) => {
      const given = Object.entries(settings).flatMap(([key, value]) => ['--param', `${key}=${value}`]);
      const printed = await run('deploy', env, ...given);
      user = readUser(printed) ?? user;
      keepSecrets({ PASSWORDS: user?.password, ...env });
      await openGateway();
      return printed;
    },
    remove: async () => await run('remove', {}),
    outputs,
    secret: async (kind) => {
      const { SecretString = '{}' } = await secrets.send(
        new GetSecretValueCommand({ SecretId: `stowage/${name}/${kind}` }),
      );
      const values = JSON.parse(SecretString) as Record<string, string>;
      keepSecrets(values);
      return values;
    },
    functionName: (one) => functionName(one, name),
    stop: async () => {
      await front.stop();
      await gateway?.stop();
    },
  };
  return stage;
}

/** The user whose password a deployment prints once. */
function readUser(printed: string): User | undefined {
  const [, name, password] = /^User +(\S+)\nPassword +(\S+)$/m.exec(printed) ?? [];
  return name === undefined || password === undefined ? undefined : { name, password };
}
