import { describeAllFunctions, functionNames, isHttpFunction, rates, type FunctionName } from '../gateway.ts';
import { featuresOf, filesOf, type Packages } from '../packages/packages.ts';
import { deadLetters } from './dead-letters.ts';
import { environmentOf } from './environment.ts';
import type { Parameters } from './parameters.ts';
import { roleOf } from './roles.ts';
import { usesSearch } from './secrets.ts';
import { collectsGarbage } from './setting-values.ts';
import { attribute, type Value } from './template.ts';

/** A function in serverless.yml. */
export type DeployedFunction = Readonly<Record<string, unknown>> & {
  readonly environment: Readonly<Record<string, Value>>;
};

/** Memory in MB, of which Lambda gives a processor in proportion, and the timeout in seconds. */
interface Size {
  readonly memorySize: number;
  readonly timeout: number;
}

/** More than the 26 s after which the registry itself answers, and less than the 30 s of the gateway. */
const reading: Size = { memorySize: 512, timeout: 29 };

/** A commit completes after the gateway times out, and the client's retry finds it. */
const writing: Size = { memorySize: 1024, timeout: 120 };

/** Lambda's longest timeout. The next run continues what a timeout ends. */
const job: Size = { memorySize: 1024, timeout: 900 };

const sizes: Readonly<Record<FunctionName, Size>> = {
  base: reading,
  extensions: reading,
  catalog: reading,
  search: reading,
  tags: reading,
  // Holds the manifests that it lists.
  referrers: { ...reading, memorySize: 1024 },
  blobs: reading,
  // A whole processor, for bcrypt.
  token: { memorySize: 1769, timeout: 29 },
  manifests: writing,
  uploads: writing,
  all: writing,
  'purge-uploads': job,
  reindex: job,
  gc: job,
};

/** Seconds that a function may take. */
export function timeoutOf(name: FunctionName): number {
  return sizes[name].timeout;
}

/** The `functions` section of serverless.yml. @param packages of all functions, as they were built */
export function functions(
  parameters: Parameters,
  packages: Packages,
): Readonly<Record<string, DeployedFunction>> {
  const features = featuresOf(parameters);
  const described = describeAllFunctions();
  return Object.fromEntries(
    functionNames.map((name) => [
      name,
      {
        ...described[name],
        ...(name === 'gc' && { events: [collectionEvent(parameters)] }),
        ...sizes[name],
        package: { patterns: packages[name] === undefined ? [] : filesOf(packages[name], features) },
        role: attribute(roleOf(name), 'Arn'),
        environment: environmentOf(name, parameters),
        ...networkOf(name, parameters),
        ...(!isHttpFunction(name) && {
          destinations: { onFailure: { type: 'sqs', arn: attribute(deadLetters, 'Arn') } },
        }),
      },
    ]),
  );
}

/** It is off unless garbage collection is on. */
function collectionEvent(parameters: Parameters): object {
  return { schedule: { rate: rates.gc, enabled: collectsGarbage(parameters) } };
}

/** Only functions that reach MySQL are in the VPC: others start faster outside. */
function networkOf(name: FunctionName, parameters: Parameters): object {
  const { subnets, securityGroups } = parameters;
  return subnets.length > 0 && usesSearch(name, parameters)
    ? { vpc: { subnetIds: subnets, securityGroupIds: securityGroups } }
    : {};
}
