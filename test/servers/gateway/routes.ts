import { describeFunctions, type FunctionName } from '../../../infra/gateway.ts';

export interface Route {
  readonly functionName: FunctionName;
  readonly method: string;
  readonly path: string;
  readonly segments: readonly string[];
}

const routes: readonly Route[] = Object.entries(describeFunctions()).flatMap(([functionName, { events }]) =>
  events.map(({ httpApi: { method, path } }) => ({
    functionName: functionName as FunctionName,
    method,
    path,
    segments: path.split('/'),
  })),
);

/**
 * The route a request takes, or undefined. A route of the exact method comes before one of any; the more of its
 * segments are literal, the earlier; `{path+}` last of all
 * (https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html).
 */
export function chooseRoute(method: string, path: string): Route | undefined {
  const segments = path.split('/');
  const fitting = routes.filter(
    (route) => (route.method === '*' || route.method === method) && fits(route, segments),
  );
  return fitting.sort((a, b) => rank(b) - rank(a))[0];
}

/** As an event names it. */
export function routeKey({ method, path }: Route): string {
  return `${method === '*' ? 'ANY' : method} ${path}`;
}

function fits({ segments }: Route, path: readonly string[]): boolean {
  if (segments.at(-1)?.endsWith('+}') === true) return path.length >= segments.length;
  return (
    segments.length === path.length &&
    segments.every((segment, i) => (segment.startsWith('{') ? path[i] !== '' : segment === path[i]))
  );
}

function rank({ method, segments }: Route): number {
  const greedy = segments.at(-1)?.endsWith('+}') === true;
  const literals = segments.filter((segment) => !segment.startsWith('{')).length;
  return (greedy ? 0 : 1000) + literals * 2 + (method === '*' ? 0 : 1);
}
