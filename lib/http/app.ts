import Koa, { type Context, type Middleware } from 'koa';
import { assertUntagged, type Conditions } from '../protocol/conditions.ts';
import { RegistryError } from '../protocol/errors.ts';
import { parseRoute, type Group, type Route } from '../protocol/routes.ts';
import type { EventContext, RegistryEvent } from '../registry/events.ts';
import type { Role } from '../registry/interface.ts';
import { withEvents } from '../registry/wrappers/with-events.ts';
import { Deadline } from '../storage/deadline.ts';
import { StoreUnavailable } from '../storage/store.ts';
import { contentLength } from './body.ts';
import { withTimeout } from '../concurrency/with-timeout.ts';
import { limitLargeResponses } from './large-responses.ts';
import { logRequests } from '../logging.ts';
import { requestTarget } from './request-target.ts';
import type { Services } from './services.ts';

/** A request as an operation sees it: parsed and validated. */
export interface RequestContext<G extends Group> extends Services {
  readonly ctx: Context;
  readonly target: Extract<Route, { group: G }>;
  readonly query: URLSearchParams;
}

export type Operation<G extends Group> = (call: RequestContext<G>) => Promise<void> | void;

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** What a group does for each method. A HEAD without an operation of its own is a GET without its body. */
export type Operations<G extends Group> = Readonly<Partial<Record<Method, Operation<G>>>>;

/** The groups a program serves. Any other is 404. */
export type Groups = { readonly [G in Group]?: Operations<G> };

/** The HTTP application of some groups: the same in Lambda, in the streaming server and in tests. */
export function createApp(groups: Groups, services: Services): Koa {
  const app = new Koa();
  // Errors of a stream under way, after the status was sent. Koa's own ways end in standard error.
  app.silent = true;
  app.on('error', (error: Error) => {
    if (!isHangUp(error)) services.log.error({ err: error }, 'an answer broke off');
  });
  app.use(logRequests(services.log));
  app.use(commonHeaders);
  app.use(errorAnswers(services));
  // A function's answer is collected whole anyway.
  if (services.streams)
    app.use(limitLargeResponses(services.answerMemory, services.limits.contendedBodyRate.withinMs));
  app.use(dispatch(groups, services));
  return app;
}

const commonHeaders: Middleware = async (ctx, next) => {
  ctx.set('Docker-Distribution-Api-Version', 'registry/2.0');
  ctx.set('X-Content-Type-Options', 'nosniff');
  await next();
};

/** What a request asks of what is there (RFC 9110, section 13.1). */
export function conditionsOf(ctx: Context): Conditions {
  return { ifMatch: ctx.get('If-Match'), ifNoneMatch: ctx.get('If-None-Match') };
}

/** An answer without a body, where Koa would send the status's name. */
export function sendEmpty(ctx: Context, status: number): void {
  ctx.body = null;
  ctx.status = status;
  ctx.length = 0;
}

/** The one place where an error becomes an answer (OCI Distribution Spec, "Error Codes"). */
function errorAnswers({ log, limits, warnOfForeign }: Services): Middleware {
  return async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      const answer = toRegistryError(error);
      const { path } = requestTarget(ctx.req);
      if (isHangUp(error)) log.info({ path }, 'the client hung up');
      else if (answer.failure === 'BUSY') log.warn({ path }, answer.message);
      else if (answer.failure === 'UPLOAD_STATE_FOREIGN') warnOfForeign({ path });
      else if (answer.status >= 500) log.error({ err: error, path }, 'a request failed');
      ctx.status = answer.status;
      ctx.set(answer.headers);
      ctx.body = answer.body;
      // Exactly this: clients compare it, some without expecting a parameter.
      ctx.set('Content-Type', 'application/json');
    }
    dropUnread(ctx, limits.lingerMs);
  };
}

/** An outage of the store is 503: worth another try, and never to be taken for a missing image. */
function toRegistryError(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error;
  return error instanceof StoreUnavailable ? new RegistryError('UNAVAILABLE') : new RegistryError('UNKNOWN');
}

/**
 * A client may be sending gigabytes to a request that has failed, or that was done before. Closing at once would lose it the answer (RFC 9112,
 * section 9.6), so what comes is dropped for a while, in which it can read that and stop.
 */
export function dropUnread({ req, res }: Pick<Context, 'req' | 'res'>, patience: number): void {
  if (req.complete) return;
  // Also for a client that asked to close: Node would do so with its bytes unread, which resets the connection.
  const staysOpen = res.shouldKeepAlive;
  res.shouldKeepAlive = true;
  req.resume();
  res.once('finish', () => {
    const close = () => {
      req.socket.destroySoon();
    };
    if (!staysOpen) {
      if (req.complete) close();
      else req.once('end', close);
    }
    setTimeout(() => {
      if (!req.complete) req.destroy();
    }, patience).unref();
  });
}

function isHangUp(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? '';
  // HPE_…: what followed was no HTTP.
  return ['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'].includes(code) || code.startsWith('HPE_');
}

function dispatch(groups: Groups, services: Services): Middleware {
  return async (ctx) => {
    const { path, query: text } = requestTarget(ctx.req);
    const [target, query] = [parseRoute(path), new URLSearchParams(text)];
    if ('name' in target) tellNamespace(ctx, query);
    await callOperation(groups, target, { ...services, ctx, query });
  };
}

/**
 * Answers a pull that says at which host its client looks for the repository ("Registry Proxying"): all names are of this
 * registry here, whatever the host.
 */
function tellNamespace(ctx: Context, query: URLSearchParams): void {
  const [host = '', ...others] = query.getAll('ns');
  const isPull = ctx.method === 'GET' || ctx.method === 'HEAD';
  const isHost = /^(?:[a-z0-9](?:[a-z0-9.-]{0,252})|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/i.test(host);
  if (isPull && isHost && others.length === 0) ctx.set('OCI-Namespace', host);
}

async function callOperation<G extends Group>(
  groups: { readonly [K in G]?: Operations<K> },
  target: Extract<Route, { group: G }>,
  call: Omit<RequestContext<G>, 'target'>,
): Promise<void> {
  const operations: Operations<G> | undefined = groups[target.group];
  if (operations === undefined) throw new RegistryError('ROUTE_UNKNOWN');
  const { ctx, limits } = call;
  const operation = find(operations, ctx.method);
  const methods = methodsOf(operations, target);
  if (operation === undefined) throw methodNotAllowed(`this endpoint takes ${methods.join(', ')}`, methods);
  assertNotRefused(call, target.group, methods);
  const hasTag = target.group === 'blobs' || target.group === 'manifests';
  if (!hasTag) assertUntagged(conditionsOf(ctx), ctx.method);
  const work = async () => {
    const events: RegistryEvent[] = [];
    const registry = withEvents(call.registry, eventContext(ctx), (event) => events.push(event));
    await call.requests.run(target.group, ctx, async () => {
      await operation({ ...call, registry, target });
    });
    // Not before: a subscriber may take its time, and others wait for what the request holds.
    await call.publish(events);
  };
  // The bytes of an upload are worth waiting for: what is finished too late for the gateway is found by a repetition.
  if (limits.responseTimeoutMs === undefined || (target.group === 'uploads' && hasBytes(ctx))) await work();
  else await answered(work, limits.responseTimeoutMs);
}

/** Who asks, for events. */
function eventContext({ req, method }: Context): EventContext {
  const { host = '', 'user-agent': userAgent = '' } = req.headers;
  const address = req.socket.remoteAddress;
  return {
    actor: undefined,
    request: { method, path: requestTarget(req).path, host, userAgent, address },
  };
}

/** Before a body comes. @param methods of the target */
function assertNotRefused(
  { ctx, registry: { refusal } }: Pick<RequestContext<Group>, 'ctx' | 'registry'>,
  group: Group,
  methods: readonly string[],
): void {
  const isRefused = (method: string) => refusal?.allowed.includes(roleOf(group, method)) === false;
  const allowed = methods.filter((method) => !isRefused(method));
  if (refusal !== undefined && (isRefused(ctx.method) || allowed.length === 0))
    throw methodNotAllowed(refusal.message, allowed);
}

function roleOf(group: Group, method: string): Role {
  if (method === 'GET' || method === 'HEAD') return 'read';
  // An upload is given up, and nothing that was in the registry goes.
  return method === 'DELETE' && group !== 'uploads' ? 'delete' : 'write';
}

/**
 * Does work for which there is so much time. What is under way of it when it is over, or has failed, is ended.
 * @throws RegistryError UNAVAILABLE
 */
async function answered(work: () => Promise<void>, milliseconds: number): Promise<void> {
  const deadline = new Deadline(milliseconds);
  await withTimeout(deadline.run(work), milliseconds, () => {
    deadline.end();
    return tooSlow();
  });
}

/** Whether a request brings bytes of a blob, or makes one of those that came before. */
function hasBytes({ method, req }: Context): boolean {
  return method === 'PATCH' || method === 'PUT' || (contentLength(req) ?? 0) > 0;
}

const tooSlow = () => new RegistryError('UNAVAILABLE', 'the storage answers too slowly; try again');

function find<G extends Group>(operations: Operations<G>, method: string): Operation<G> | undefined {
  const own = Object.hasOwn(operations, method) ? operations[method as Method] : undefined;
  return own ?? (method === 'HEAD' ? operations.GET : undefined);
}

function methodsOf(operations: object, target: Route): string[] {
  const starts = target.group === 'uploads' && target.id === undefined;
  const own = Object.keys(operations).filter(
    (method) => target.group !== 'uploads' || (method === 'POST') === starts,
  );
  return own.includes('GET') ? [...new Set(['GET', 'HEAD', ...own])] : own;
}

/** RFC 9110, section 15.5.6. @param methods that the target takes */
export function methodNotAllowed(message: string, methods: readonly string[]): RegistryError {
  return new RegistryError('UNSUPPORTED', message, [], { headers: { Allow: methods.join(', ') } });
}
