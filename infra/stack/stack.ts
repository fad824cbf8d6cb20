import { readFileSync } from 'node:fs';
import { packagesFile, type Packages } from '../packages/packages.ts';
import { alarms } from './alarms.ts';
import { api, apiExtensions } from './api.ts';
import { bucket } from './bucket.ts';
import { dashboard } from './dashboard.ts';
import { cloudfront } from './cloudfront.ts';
import { dataPlane } from './data-plane/data-plane.ts';
import { deadLetterQueue } from './dead-letters.ts';
import { eventQueues } from './events.ts';
import { functions as describeFunctions } from './functions.ts';
import { loadParameters } from './load-parameters.ts';
import { ParameterError, type Parameters } from './parameters.ts';
import { roles } from './roles.ts';
import { mergeTemplates, type Template } from './template.ts';

/** Each makes one part of the stack, and nothing where the parameters ask for nothing. */
const parts: readonly ((parameters: Parameters) => Template)[] = [
  bucket,
  roles,
  deadLetterQueue,
  eventQueues,
  api,
  alarms,
  dashboard,
  dataPlane,
  cloudfront,
];

/** All resources that osls does not make of the functions. */
export function templateOf(parameters: Parameters): Required<Template> {
  return withBoundary(mergeTemplates(parts.map((part) => part(parameters))), parameters);
}

/** Limits all roles, so that who deploys may be allowed to make roles within the boundary only (infra/ci/aws-role.yml). */
function withBoundary(
  { Resources, Outputs }: Required<Template>,
  { permissionsBoundary }: Parameters,
): Required<Template> {
  if (permissionsBoundary === undefined) return { Resources, Outputs };
  const limited = Object.entries(Resources).map(([id, resource]) => [
    id,
    resource.Type === 'AWS::IAM::Role'
      ? { ...resource, Properties: { ...resource.Properties, PermissionsBoundary: permissionsBoundary } }
      : resource,
  ]);
  return { Resources: Object.fromEntries(limited) as Required<Template>['Resources'], Outputs };
}

/** What osls passes to a function in a file that serverless.yml refers to. */
export interface VariableContext {
  readonly options: { readonly param?: readonly string[] | null };
  /** @param address of a variable, such as `sls:stage` */
  readonly resolveVariable: (address: string) => Promise<unknown>;
}

type Section = (context: VariableContext) => Promise<unknown>;

/** `functions: ${file(./dist/stack.cjs):functions}` */
export const functions = section((parameters) => describeFunctions(parameters, readPackages()));

/** `resources: ${file(./dist/stack.cjs):resources}` */
export const resources = section((parameters) => ({
  ...templateOf(parameters),
  extensions: apiExtensions(parameters),
}));

/** `logRetentionInDays: ${file(./dist/stack.cjs):logRetentionInDays}` */
export const logRetentionInDays = section((parameters) => parameters.logRetentionDays);

/** osls demands to be started in the folder of serverless.yml. */
function readPackages(): Packages {
  return JSON.parse(readFileSync(packagesFile, 'utf8')) as Packages;
}

let isReported = false;

/** osls asks for all sections and shows the errors of each; one of them is enough. */
function section(of: (parameters: Parameters) => unknown): Section {
  return async (context) => {
    try {
      return of(await parametersOf(context));
    } catch (error) {
      if (isReported) return {};
      isReported = true;
      // osls shows the stack instead of the message.
      if (error instanceof ParameterError) error.stack = error.message;
      throw error;
    }
  };
}

async function parametersOf({ options, resolveVariable }: VariableContext): Promise<Parameters> {
  const [stage, region] = await Promise.all([
    resolveVariable('sls:stage'),
    resolveVariable('self:provider.region'),
  ]);
  const overrides = parseOverrides(options.param ?? []);
  const sources = { stage: String(stage), region: String(region), overrides };
  const parameters = loadParameters(process.cwd(), sources);
  if (process.argv.includes('deploy')) assertDeployable(parameters);
  return parameters;
}

/** What osls alone lacks. @throws ParameterError */
function assertDeployable({ stage, auth, publicKeys }: Parameters): void {
  if (auth === 'policy' && publicKeys.length === 0)
    throw new ParameterError(stage, [
      'publicKeys: missing; npm run deploy makes them, the secrets and the policy before it starts osls',
    ]);
}

/** @param given `name=value` of `--param` */
function parseOverrides(given: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    given.map((text) => {
      const [name = '', ...value] = text.split('=');
      return [name, value.join('=')];
    }),
  );
}
