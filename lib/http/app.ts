import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { assertUntagged, type Conditions } from '../protocol/conditions.ts';
import { RegistryError } from '../protocol/errors.ts';
import { parseRepositoryName } from '../protocol/names.ts';
import { matchPath, parseRoute, type Group, type Route } from '../protocol/routes.ts';
import type { EventContext, RegistryEvent } from '../registry/events.ts';
import type { Registry, Role } from '../registry/interface.ts';
import { withAccess } from '../registry/wrappers/with-access.ts';
import { withEvents } from '../registry/wrappers/with-events.ts';
import type { QuotaLimit } from '../registry/quotas/quotas.ts';
import { withQuota } from '../registry/wrappers/with-quota.ts';
import { Deadline } from '../storage/deadline.ts';
import type { Caller } from '../access/access.ts';
import { audited } from './audit.ts';
import { authorize, type Admission, type Authorize } from './authorization.ts';
import { cors } from './cors.ts';
import { contentLength } from './body.ts';
import { discardUnread, isDisconnect, respondWithError } from './error-responses.ts';
import { Exchange } from './exchange.ts';
import { withTimeout } from '../concurrency/with-timeout.ts';
import { limitLargeResponses } from './large-responses.ts';
import { logRequests } from '../logging/requests.ts';
import { noteRequest, requestScope } from '../request-scope.ts';
import type { Telemetry } from '../telemetry.ts';
import { requestTarget } from './request-target.ts';
import { withScope } from './scope.ts';
import { sendEmpty } from './send.ts';
import type { Services } from './services.ts';

/** A parsed and validated request. */
export interface RequestContext<G extends Group> extends Services {
  readonly ctx: Exchange;
  readonly admission: Admission;
  readonly caller: Caller;
  readonly route: Extract<Route, { group: G }>;
  readonly query: URLSearchParams;
  /** The id of the quota that an upload counts for. */
  readonly quota: string | undefined;
}

export type Handler<G extends Group> = (context: RequestContext<G>) => Promise<void> | void;

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Handlers by method. A HEAD without a handler is a GET without its body. */
export type Handlers<G extends Group> = Readonly<Partial<Record<Method, Handler<G>>>>;

/** The groups that a program serves. Others are 404. */
export type Groups = { readonly [G in Group]?: Handlers<G> };

/**
 * Handles a request, and responds to it in any case.
 * @returns resolves at the end of the work, perhaps before that of the response
 */
export type App = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => Promise<void>;

/** A step of each request. */
type Step = (exchange: Exchange) => void;

/**
 * The HTTP application, the same in Lambda, in the streaming server and in tests.
 * @param decide who may do what: by credentials, but for a data plane
 */
export function createApp(groups: Groups, services: Services, decide: Authorize = authorize): App {
  const before = stepsBefore(services);
  const after = stepsAfter(services);
  const broken = (error: Error) => {
    if (!isDisconnect(error)) services.log.error({ err: error }, 'a response broke off');
  };
  return async (request, response) => {
    // Those of HTTP/2 have what is used of the others.
    const exchange = new Exchange(request as IncomingMessage, response as ServerResponse);
    const work = async () => {
      for (const step of before) step(exchange);
      try {
        await dispatch(groups, services, exchange, decide);
        for (const step of after) step(exchange);
      } catch (error) {
        respondWithError(services, exchange, error);
      }
      discardUnread(exchange, services.limits.lingerMs);
      exchange.send(broken);
    };
    try {
      await withScope(services, exchange, work);
    } catch (error) {
      // A fault of the code above. The client must not wait for a response.
      services.log.error({ err: error }, 'a request failed');
      response.statusCode = 500;
      response.end();
    }
  };
}

/** What each request gets before it is handled. */
function stepsBefore({ accessLog, headers, corsOrigins }: Services): readonly Step[] {
  return [
    ...(accessLog === undefined ? [] : [logRequests(accessLog)]),
    commonHeaders(headers),
    cors(corsOrigins),
  ];
}

function stepsAfter({ streams, responseMemory, limits }: Services): readonly Step[] {
  // A function buffers its whole response anyway.
  return streams ? [limitLargeResponses(responseMemory, limits.contendedBodyRate.withinMs)] : [];
}

function commonHeaders(configured: Services['headers']): Step {
  const headers = Object.entries(configured);
  return (ctx) => {
    ctx.set('X-Content-Type-Options', 'nosniff');
    for (const [name, values] of headers)
      ctx.set(name, values.length === 1 ? String(values[0]) : [...values]);
    ctx.set('Docker-Distribution-Api-Version', 'registry/2.0');
  };
}

/** RFC 9110, section 13.1. */
export function conditionsOf(ctx: Exchange): Conditions {
  return { ifMatch: ctx.get('if-match'), ifNoneMatch: ctx.get('if-none-match') };
}

async function dispatch(groups: Groups, services: Services, ctx: Exchange, decide: Authorize): Promise<void> {
  const { path, query: text } = requestTarget(ctx.req);
  const asked = routeOf(path, services.prefix);
  const query = text === '' ? noQuery : new URLSearchParams(text);
  const namespace = text !== '' && 'name' in asked ? namespaceOf(ctx, query) : undefined;
  const route = namespace === undefined ? asked : inNamespace(asked, services.namespaces.get(namespace));
  reportRoute(services.telemetry, route, ctx.req.headers);
  if (namespace !== undefined) ctx.set('OCI-Namespace', namespace);
  await handleRequest(groups, services, { ctx, route, query }, decide);
}

/** Of most requests. Nothing changes a query. */
const noQuery = new URLSearchParams();

/** Probes are at the root as well, since whatever sends them knows only host and port. */
function routeOf(path: string, prefix: string): Route {
  const isAtRoot = prefix === '' || matchPath(path)?.group === 'health';
  return parseRoute(isAtRoot ? path : belowPrefix(path, prefix));
}

/** @throws RegistryError ROUTE_UNKNOWN for a path that is not below the prefix */
function belowPrefix(path: string, prefix: string): string {
  if (!path.startsWith(`${prefix}/`)) throw new RegistryError('ROUTE_UNKNOWN');
  return path.slice(prefix.length);
}

function reportRoute(telemetry: readonly Telemetry[], route: Route, headers: IncomingHttpHeaders): void {
  const scope = requestScope();
  if (scope === undefined) return;
  scope.route = route;
  for (const one of telemetry) one.requestRouted?.(scope, headers);
}

/** The host that a pull names in `ns` ("Registry Proxying"). */
function namespaceOf(ctx: Exchange, query: URLSearchParams): string | undefined {
  const [host = '', ...others] = query.getAll('ns');
  const isPull = ctx.method === 'GET' || ctx.method === 'HEAD';
  const isHost = /^(?:[a-z0-9](?:[a-z0-9.-]{0,252})|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/i.test(host);
  return isPull && isHost && others.length === 0 ? host : undefined;
}

/**
 * The route of a pull that names a host of which repositories here are caches: theirs. For any other host, this registry serves its own
 * repositories.
 * @param prefix of the caches
 */
function inNamespace(route: Route, prefix: string | undefined): Route {
  // containerd sends ns also to mirrors whose path has the prefix.
  if (prefix === undefined || !('name' in route) || route.name.startsWith(prefix)) return route;
  return { ...route, name: parseRepositoryName(prefix + route.name) };
}

/** A request that is yet to be authorized. */
type Admissible<G extends Group> = Pick<RequestContext<G>, 'ctx' | 'route' | 'query'>;

async function handleRequest<G extends Group>(
  groups: { readonly [K in G]?: Handlers<K> },
  services: Services,
  request: Admissible<G>,
  decide: Authorize,
): Promise<void> {
  const { ctx, route } = request;
  const handlers: Handlers<G> | undefined = groups[route.group];
  if (handlers === undefined) throw new RegistryError('ROUTE_UNKNOWN');
  // Browsers send it without credentials.
  if (ctx.method === 'OPTIONS') {
    ctx.set('Allow', ['OPTIONS', ...methodsOf(handlers, route)].join(', '));
    sendEmpty(ctx, 204);
    return;
  }
  const handler = handlerFor(handlers, ctx.method);
  if (handler === undefined) {
    const methods = methodsOf(handlers, route);
    throw methodNotAllowed(`this endpoint takes ${methods.join(', ')}`, methods);
  }
  assertAllowed(services.registry, ctx.method, route.group, () => methodsOf(handlers, route));
  const work = async () => {
    await audited(services.audit, request, async (admitted) => {
      const admission = await decide(request, services);
      admitted(admission);
      noteRequest({ actor: admission.caller.actor });
      await runHandler(handler, services, request, admission);
    });
  };
  // Uploads with bytes have no timeout: after a gateway's timeout, the client's retry finds the result.
  const { responseTimeoutMs } = services.limits;
  if (responseTimeoutMs === undefined || (route.group === 'uploads' && hasBytes(ctx))) await work();
  else await withResponseTimeout(work, responseTimeoutMs);
}

async function runHandler<G extends Group>(
  handler: Handler<G>,
  services: Services,
  { ctx, route, query }: Admissible<G>,
  admission: Admission,
): Promise<void> {
  const { caller } = admission;
  const hasTag = route.group === 'blobs' || route.group === 'manifests';
  if (!hasTag) assertUntagged(conditionsOf(ctx), ctx.method);
  const events: RegistryEvent[] = [];
  const limit = await quotaLimit(services, { ctx, route }, admission);
  const limited = limit === undefined ? services.registry : withQuota(services.registry, limit);
  const registry = withEvents(
    withAccess(limited, caller),
    eventContext(ctx, caller.actor),
    (event) => events.push(event),
    services.outbox,
  );
  await services.requests.run(route.group, ctx, async () => {
    await handler({ ...services, registry, ctx, route, query, admission, caller, quota: limit?.quota.id });
  });
  // After the slot is released, since subscribers may be slow.
  if (events.length > 0) await services.publish(events);
}

/** Only for requests that may add something, or that renew the Location of an upload. */
async function quotaLimit(
  { quotas }: Services,
  { ctx, route }: Pick<Admissible<Group>, 'ctx' | 'route'>,
  { quota }: Admission,
): Promise<QuotaLimit | undefined> {
  if (quotas === undefined || ctx.method === 'DELETE') return undefined;
  if (quota !== undefined) return quotas.limitOfUpload(quota);
  const adds = route.group === 'uploads' || (route.group === 'manifests' && ctx.method === 'PUT');
  return adds ? await quotas.limitOf(route.name) : undefined;
}

function eventContext(exchange: Exchange, actor: string | undefined): EventContext {
  const { req, method } = exchange;
  const { host: asked = '', 'user-agent': userAgent = '' } = req.headers;
  const { id = '', client } = requestScope() ?? {};
  const { address, host = asked, protocol = exchange.protocol } = client ?? {};
  return {
    actor,
    request: { id, method, path: requestTarget(req).path, host, protocol, userAgent, address },
  };
}

/** Rejects before the body is read. @param methods of the route */
function assertAllowed(
  { refusal }: Registry,
  method: string,
  group: Group,
  methods: () => readonly string[],
): void {
  if (refusal === undefined) return;
  const allowed = methods().filter((one) => refusal.allowed.includes(roleOf(group, one)));
  if (allowed.length === 0 || !refusal.allowed.includes(roleOf(group, method)))
    throw methodNotAllowed(refusal.message, allowed);
}

function roleOf(group: Group, method: string): Role {
  // The token service changes nothing.
  if (method === 'GET' || method === 'HEAD' || group === 'token') return 'read';
  // A cancelled upload removes no content of the registry.
  return method === 'DELETE' && group !== 'uploads' ? 'delete' : 'write';
}

/** Aborts the work after a timeout. @throws RegistryError UNAVAILABLE */
async function withResponseTimeout(work: () => Promise<void>, timeoutMs: number): Promise<void> {
  const deadline = new Deadline(timeoutMs);
  await withTimeout(deadline.run(work), timeoutMs, () => {
    deadline.end();
    return new RegistryError('UNAVAILABLE', 'the storage answers too slowly; try again');
  });
}

/** Whether an upload request sends bytes or commits them. */
function hasBytes({ method, req }: Exchange): boolean {
  return method === 'PATCH' || method === 'PUT' || (contentLength(req) ?? 0) > 0;
}

function handlerFor<G extends Group>(handlers: Handlers<G>, method: string): Handler<G> | undefined {
  const own = Object.hasOwn(handlers, method) ? handlers[method as Method] : undefined;
  return own ?? (method === 'HEAD' ? handlers.GET : undefined);
}

function methodsOf(handlers: object, route: Route): string[] {
  const starts = route.group === 'uploads' && route.id === undefined;
  const own = Object.keys(handlers).filter(
    (method) => route.group !== 'uploads' || (method === 'POST') === starts,
  );
  return own.includes('GET') ? [...new Set(['GET', 'HEAD', ...own])] : own;
}

/** RFC 9110, section 15.5.6. @param methods for the header Allow */
export function methodNotAllowed(message: string, methods: readonly string[]): RegistryError {
  return new RegistryError('UNSUPPORTED', message, [], { headers: { Allow: methods.join(', ') } });
}
