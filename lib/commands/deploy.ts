import { loadFromCheckout } from './checkout.ts';
import { readArguments, refuseOptionsOfNpm, UsageError, type Command } from './command.ts';

/** What a deployment was asked for. */
export interface DeployOptions {
  readonly stage: string;
  /** Undefined for that of the environment or the AWS profile. */
  readonly region: string | undefined;
  /** Parameters of the command line by their names. */
  readonly parameters: Readonly<Record<string, string>>;
  readonly dryRun: boolean;
  /** Whether nothing is asked. */
  readonly yes: boolean;
}

/** Deploys functions, bucket and data plane to AWS. */
export const command: Command = {
  summary: 'deploy a registry to AWS, from a checkout of the project',
  usage: `Usage: stowage deploy [--stage STAGE] [--region REGION] [--data-plane none|instance|fargate] [--host HOST]
                      [--param NAME=VALUE]… [--dry-run] [--yes]

Builds the functions, shows what changes in which account, deploys, and tries the registry. It needs a checkout of the
project and credentials of AWS, nothing else. docs/deploy/aws.md has all parameters; those of a stage may be in
stages/STAGE.yml.

  --stage STAGE       name of this registry, of which an account may have several (default dev)
  --region REGION     region of AWS (default that of AWS_REGION or of the profile)
  --data-plane KIND   none, instance or fargate: what takes layers above 4 MiB from docker (default none)
  --host HOST         host name of the registry, which a data plane needs
  --param NAME=VALUE  another parameter; can be repeated
  --dry-run           show what would be done, and do nothing
  --yes               ask nothing, also where something is replaced or removed

Secrets are generated and kept, or taken from the environment by the names of their settings, such as
REGISTRY_HTTP_SECRET.`,
  run: async (args) => {
    const options = readDeployOptions(args);
    const { deploy } = (await loadFromCheckout('infra/deploy/deploy.ts')) as {
      deploy: (options: DeployOptions) => Promise<number>;
    };
    return await deploy(options);
  },
};

/** @throws UsageError */
export function readDeployOptions(args: readonly string[]): DeployOptions {
  refuseOptionsOfNpm('deploy', ['stage', 'region', 'data-plane', 'host', 'param', 'dry-run'], args);
  const { values } = readArguments(args, {
    stage: { type: 'string' },
    region: { type: 'string' },
    'data-plane': { type: 'string' },
    host: { type: 'string' },
    param: { type: 'string', multiple: true },
    'dry-run': { type: 'boolean' },
    yes: { type: 'boolean' },
  });
  const parameters = readParams(values.param ?? []);
  for (const [option, name] of [
    ['data-plane', 'dataPlane'],
    ['host', 'host'],
  ] as const) {
    const value = values[option];
    if (value === undefined) continue;
    if (parameters[name] !== undefined)
      throw new UsageError(`--${option} and --param ${name}=… are the same; use one of them`);
    parameters[name] = value;
  }
  return {
    stage: values.stage ?? 'dev',
    region: values.region,
    parameters,
    dryRun: values['dry-run'] ?? false,
    yes: values.yes ?? false,
  };
}

/** What no parameter sets, and why. */
const derived: Readonly<Record<string, string>> = {
  secretsRevision: 'is set by the deployment itself',
  publicKeys: 'is set by the deployment itself',
  stage: 'is no parameter; use --stage',
  region: 'is no parameter; use --region',
};

function readParams(texts: readonly string[]): Record<string, string> {
  const parameters: Record<string, string> = {};
  for (const text of texts) {
    const [, name, value] = /^(\w+)=(.*)$/s.exec(text) ?? [];
    if (name === undefined || value === undefined)
      throw new UsageError(`--param: ${JSON.stringify(text.slice(0, 80))} is not NAME=VALUE`);
    if (Object.hasOwn(derived, name)) throw new UsageError(`--param: ${name} ${derived[name]}`);
    if (parameters[name] !== undefined) throw new UsageError(`--param: ${name} is given twice`);
    parameters[name] = value;
  }
  return parameters;
}
