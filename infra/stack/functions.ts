import {
  describeAllFunctions,
  functionNames,
  isHttpFunction,
  rates,
  type FunctionName,
  type ScheduledFunctionName,
} from '../gateway.ts';
import { featuresOf, filesOf, type Packages } from '../packages/packages.ts';
import { deadLetters } from './dead-letters.ts';
import { environmentOf } from './environment.ts';
import { eventQueue, hasQueue, tellsOfEvents } from './events.ts';
import { sizes } from './function-sizes.ts';
import type { Parameters } from './parameters.ts';
import { roleOf } from './roles.ts';
import { usesSearch } from './secrets.ts';
import { collectsGarbage } from './setting-values.ts';
import { attribute, type Value } from './template.ts';

/** A function in serverless.yml. */
export type DeployedFunction = Readonly<Record<string, unknown>> & {
  readonly environment: Readonly<Record<string, Value>>;
};

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
        ...triggersOf(name, parameters),
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

/** What starts a job that may be off. */
function triggersOf(name: FunctionName, parameters: Parameters): object {
  if (name === 'gc') return { events: [schedule(name, collectsGarbage(parameters))] };
  if (name !== 'events') return {};
  // One delivers, and another may look meanwhile: the least that Lambda takes.
  const queue = { sqs: { arn: attribute(eventQueue, 'Arn'), batchSize: 10, maximumConcurrency: 2 } };
  const events = [schedule(name, tellsOfEvents(parameters)), ...(hasQueue(parameters) ? [queue] : [])];
  return { events };
}

function schedule(name: ScheduledFunctionName, enabled: boolean): object {
  return { schedule: { rate: rates[name], enabled } };
}

/** Only functions that reach MySQL are in the VPC: others start faster outside. */
function networkOf(name: FunctionName, parameters: Parameters): object {
  const { subnets, securityGroups } = parameters;
  return subnets.length > 0 && usesSearch(name, parameters)
    ? { vpc: { subnetIds: subnets, securityGroupIds: securityGroups } }
    : {};
}
