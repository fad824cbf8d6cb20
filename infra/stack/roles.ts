import { functionNames, type FunctionName } from '../gateway.ts';
import { bucketArn } from './bucket.ts';
import { deadLetters } from './dead-letters.ts';
import type { Parameters } from './parameters.ts';
import { kmsKey, rightsOf, type On, type Principal } from './rights.ts';
import { secretArn } from './secrets.ts';
import { attribute, sub, type Resource, type Template, type Value } from './template.ts';

/** The logical id of a function's role. */
export function roleOf(name: FunctionName): string {
  return `${name.split('-').map(capitalized).join('')}Role`;
}

/** A role for each function, made of the table of rights. */
export function roles(parameters: Parameters): Template {
  return {
    Resources: Object.fromEntries(functionNames.map((name) => [roleOf(name), role(name, parameters)])),
  };
}

function role(name: FunctionName, parameters: Parameters): Resource {
  return {
    Type: 'AWS::IAM::Role',
    Properties: {
      AssumeRolePolicyDocument: {
        Version: '2012-10-17',
        Statement: [
          { Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' }, Action: 'sts:AssumeRole' },
        ],
      },
      Policies: [{ PolicyName: 'rights', PolicyDocument: policyOf(name, parameters) }],
    },
  };
}

/** The policy document with the rights of a function, or of the data plane. */
export function policyOf(principal: Principal, parameters: Parameters): Value {
  return {
    Version: '2012-10-17',
    Statement: rightsOf(principal, parameters).flatMap(({ on, actions }) => [
      { Effect: 'Allow', Action: actions, Resource: resourceOf(on, principal, parameters) },
      ...(on === 'network interfaces' ? [onlyLambda(principal, actions, parameters)] : []),
    ]),
  };
}

/** Lambda itself uses these rights, and the code of the function must not (see the source of the right). */
function onlyLambda(principal: Principal, actions: readonly string[], { stage }: Parameters): Value {
  const name = `stowage-${stage}-${principal}`;
  const arn = sub(`arn:\${AWS::Partition}:lambda:\${AWS::Region}:\${AWS::AccountId}:function:${name}`);
  return {
    Effect: 'Deny',
    Action: actions,
    Resource: '*',
    Condition: { ArnEquals: { 'lambda:SourceFunctionArn': arn } },
  };
}

function resourceOf(on: On, principal: Principal, parameters: Parameters): Value {
  if (on === 'bucket') return bucketArn(parameters);
  // Lambda asks for this before there is an interface that could be named (see the source of the right).
  if (on === 'network interfaces') return '*';
  if (on === 'KMS key') return kmsKey(parameters) ?? '';
  if (on === 'dead letters') return attribute(deadLetters, 'Arn');
  if (on === 'own logs') return logGroupArn(`/aws/lambda/stowage-${parameters.stage}-${principal}`);
  // Secrets Manager adds a hyphen and six characters.
  if ('secret' in on) return { 'Fn::Join': ['', [secretArn(parameters, on.secret), '-??????']] };
  const { rootDirectory } = parameters;
  return bucketArn(parameters, rootDirectory === '' ? on.keys : `${rootDirectory}/${on.keys}`);
}

/** @param name of the group; osls names those of functions */
function logGroupArn(name: string): Value {
  return sub(`arn:\${AWS::Partition}:logs:\${AWS::Region}:\${AWS::AccountId}:log-group:${name}:*`);
}

function capitalized(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
