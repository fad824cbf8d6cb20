import { functionName, functionNames, logicalName, type FunctionName } from '../gateway.ts';
import { bucketArn } from './bucket.ts';
import { deadLetters } from './dead-letters.ts';
import { eventQueue } from './events.ts';
import type { Parameters } from './parameters.ts';
import { kmsKey, rightsOf, type On, type Principal } from './rights.ts';
import { secretArn } from './secrets.ts';
import { attribute, sub, type Resource, type Template, type Value } from './template.ts';

/** The logical id of a function's role. */
export function roleOf(name: FunctionName): string {
  return `${logicalName(name)}Role`;
}

/** A role for each function, made of the table of rights. */
export function roles(parameters: Parameters): Template {
  return {
    Resources: Object.fromEntries(
      functionNames.map((name) => [roleOf(name), serviceRole('lambda', [policyOf(name, parameters)])]),
    ),
  };
}

/** A role that a service of AWS takes. @param service such as `lambda` */
export function serviceRole(service: string, policies: readonly Value[]): Resource {
  const Statement = [
    { Effect: 'Allow', Principal: { Service: `${service}.amazonaws.com` }, Action: 'sts:AssumeRole' },
  ];
  return {
    Type: 'AWS::IAM::Role',
    Properties: { AssumeRolePolicyDocument: { Version: '2012-10-17', Statement }, Policies: policies },
  };
}

/** The policy with the rights of a function, or of the data plane. */
export function policyOf(principal: Principal, parameters: Parameters): Value {
  const Statement = rightsOf(principal, parameters).flatMap(({ on, actions }) => [
    { Effect: 'Allow', Action: actions, Resource: resourceOf(on, principal, parameters) },
    ...(on === 'network interfaces' ? [onlyLambda(principal, actions, parameters)] : []),
  ]);
  return { PolicyName: 'rights', PolicyDocument: { Version: '2012-10-17', Statement } };
}

/** Lambda itself uses these rights, and the code of the function must not (see the source of the right). */
function onlyLambda(principal: Principal, actions: readonly string[], { stage }: Parameters): Value {
  const arn = functionArn(principal, { stage });
  return {
    Effect: 'Deny',
    Action: actions,
    Resource: '*',
    Condition: { ArnEquals: { 'lambda:SourceFunctionArn': arn } },
  };
}

function functionArn(name: string, { stage }: Pick<Parameters, 'stage'>): Value {
  const arn = `arn:\${AWS::Partition}:lambda:\${AWS::Region}:\${AWS::AccountId}:function:`;
  return sub(`${arn}${functionName(name, stage)}`);
}

function resourceOf(on: On, principal: Principal, parameters: Parameters): Value {
  if (on === 'bucket') return bucketArn(parameters);
  // Lambda asks for this before there is an interface that could be named (see the source of the right).
  if (on === 'network interfaces') return '*';
  if (on === 'KMS key') return kmsKey(parameters) ?? '';
  if (on === 'dead letters') return attribute(deadLetters, 'Arn');
  if (on === 'event queue') return attribute(eventQueue, 'Arn');
  if (on === 'copy function') return functionArn('copy', parameters);
  if (on === 'own logs') return logGroupArn(`/aws/lambda/${functionName(principal, parameters.stage)}`);
  // Secrets Manager adds a hyphen and six characters.
  if ('secret' in on) return { 'Fn::Join': ['', [secretArn(parameters, on.secret), '-??????']] };
  if ('arns' in on) return on.arns;
  const { rootDirectory } = parameters;
  return bucketArn(parameters, rootDirectory === '' ? on.keys : `${rootDirectory}/${on.keys}`);
}

/** @param name of the group; osls names those of functions */
function logGroupArn(name: string): Value {
  return sub(`arn:\${AWS::Partition}:logs:\${AWS::Region}:\${AWS::AccountId}:log-group:${name}:*`);
}
