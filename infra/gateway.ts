import { gatewayRoutes, groups, type GatewayRoute } from '../lib/protocol/routes.ts';

/** The licences of what is in the bundles; it goes wherever they go. */
export const thirdPartyFile = 'dist/THIRD-PARTY-LICENSES.txt';

/** The functions that answer requests: one for each route group, and `all` for whatever has no route of its own. */
const httpFunctionNames = [...groups, 'all'] as const;

/** The functions that run by themselves, with their descriptions. */
const scheduledFunctions = {
  'purge-uploads': daily('purge-uploads'),
  reindex: daily('reindex'),
};

/** All functions, each bundled from the file of its name. */
export const functionNames = [...httpFunctionNames, ...Object.keys(scheduledFunctions)];

interface HttpApiEvent {
  readonly httpApi: Pick<GatewayRoute, 'method' | 'path'>;
}

/** A function as serverless.yml has it. */
interface FunctionDescription {
  readonly handler: string;
  readonly package: { readonly patterns: readonly string[] };
}

interface HttpFunctionDescription extends FunctionDescription {
  readonly events: readonly HttpApiEvent[];
}

/**
 * The functions behind the gateway. Each route takes every method, so that one that is not supported gets the
 * registry's own answer and not the gateway's, which clients cannot read.
 */
export function describeFunctions(): Record<string, HttpFunctionDescription> {
  return Object.fromEntries(
    httpFunctionNames.map((name) => [
      name,
      {
        ...packageOf(name),
        events: routesOf(name).map(({ method, path }) => ({ httpApi: { method, path } })),
      },
    ]),
  );
}

/** The `functions` section of serverless.yml. */
export function describeAllFunctions(): Record<string, FunctionDescription> {
  return { ...describeFunctions(), ...scheduledFunctions };
}

/** The timeout is Lambda's maximum. The next run continues what a timeout ends. */
function daily(name: string) {
  return { ...packageOf(name), timeout: 900, events: [{ schedule: 'rate(1 day)' }] };
}

function packageOf(name: string): FunctionDescription {
  return {
    handler: `dist/functions/${name}.handler`,
    package: { patterns: [`dist/functions/${name}.mjs*`, 'dist/functions/chunks/*', thirdPartyFile] },
  };
}

function routesOf(
  name: (typeof httpFunctionNames)[number],
): readonly Pick<GatewayRoute, 'method' | 'path'>[] {
  return name === 'all'
    ? [{ method: '*', path: '/{path+}' }]
    : gatewayRoutes().filter(({ group }) => group === name);
}
