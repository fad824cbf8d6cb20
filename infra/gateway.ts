import { gatewayRoutes, groups, type GatewayRoute } from '../lib/protocol/routes.ts';

/** Licences of the bundled packages, shipped with every bundle. */
export const thirdPartyFile = 'dist/THIRD-PARTY-LICENSES.txt';

/** One function per route group but `health`, and `all` for paths without a route. */
export const httpFunctionNames = [...groups.filter((group) => group !== 'health'), 'all'] as const;

export type HttpFunctionName = (typeof httpFunctionNames)[number];

/** Functions on a schedule. */
export const scheduledFunctionNames = ['purge-uploads', 'reindex', 'gc', 'events'] as const;

export type ScheduledFunctionName = (typeof scheduledFunctionNames)[number];

/** Functions that others invoke, and do not wait for. */
export const invokedFunctionNames = ['copy'] as const;

export type InvokedFunctionName = (typeof invokedFunctionNames)[number];

export type FunctionName = HttpFunctionName | ScheduledFunctionName | InvokedFunctionName;

/** All functions, each bundled from `functions/<name>.ts`. */
export const functionNames: readonly FunctionName[] = [
  ...httpFunctionNames,
  ...scheduledFunctionNames,
  ...invokedFunctionNames,
];

export function isHttpFunction(name: FunctionName): name is HttpFunctionName {
  return (httpFunctionNames as readonly string[]).includes(name);
}

/** The name at Lambda, as osls makes it. The log group of the function has it too. @param name such as `purge-uploads` */
export function functionName(name: string, stage: string): string {
  return `stowage-${stage}-${name}`;
}

/** The name in logical ids of a stack, such as `PurgeUploads`. */
export function logicalName(name: FunctionName): string {
  return name
    .split('-')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');
}

interface HttpApiEvent {
  readonly httpApi: Pick<GatewayRoute, 'method' | 'path'>;
}

/** A function as osls takes it. */
interface FunctionDescription {
  readonly handler: string;
}

interface HttpFunctionDescription extends FunctionDescription {
  readonly events: readonly HttpApiEvent[];
}

/**
 * The functions behind the gateway. Each route takes every method, so that the registry itself rejects unsupported ones:
 * clients cannot parse the gateway's error.
 */
export function describeFunctions(): Record<string, HttpFunctionDescription> {
  return Object.fromEntries(
    httpFunctionNames.map((name) => [
      name,
      {
        handler: handlerOf(name),
        events: routesOf(name).map(({ method, path }) => ({ httpApi: { method, path } })),
      },
    ]),
  );
}

/** All functions, without their packages. */
export function describeAllFunctions(): Record<string, FunctionDescription> {
  return {
    ...describeFunctions(),
    ...Object.fromEntries(scheduledFunctionNames.map((name) => [name, onSchedule(name)])),
    ...Object.fromEntries(
      invokedFunctionNames.map((name) => [name, { handler: handlerOf(name), timeout: 900 }]),
    ),
  };
}

/** The timeout is Lambda's maximum. The next run continues what a timeout ends. */
function onSchedule(name: ScheduledFunctionName) {
  return { handler: handlerOf(name), timeout: 900, events: [{ schedule: rates[name] }] };
}

/** How often jobs run. Garbage collection goes on in steps. */
export const rates: Readonly<Record<ScheduledFunctionName, string>> = {
  'purge-uploads': 'rate(1 day)',
  reindex: 'rate(1 day)',
  gc: 'rate(1 hour)',
  events: 'rate(1 minute)',
};

function handlerOf(name: string): string {
  return `dist/functions/${name}.handler`;
}

function routesOf(
  name: (typeof httpFunctionNames)[number],
): readonly Pick<GatewayRoute, 'method' | 'path'>[] {
  return name === 'all'
    ? [{ method: '*', path: '/{path+}' }]
    : gatewayRoutes().filter(({ group }) => (group === 'health' ? 'base' : group) === name);
}
