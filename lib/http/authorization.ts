import type { Action, Caller, ChallengeError, Credentials, Decision, Needed } from '../access/access.ts';
import { open, unrestricted } from '../access/callers.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { Route } from '../protocol/routes.ts';
import { requestScope } from '../request-scope.ts';
import type { Exchange } from './exchange.ts';
import type { Services } from './services.ts';

/**
 * The permissions that a request needs, by route and method. As in distribution, a push needs pull too, since clients check for
 * existing content first. Cancelling an upload needs the same permissions as a push.
 */
export function neededFor(route: Route, method: string): readonly Needed[] {
  switch (route.group) {
    case 'health':
    case 'token':
      return [];
    case 'base':
    case 'extensions':
      return [{ kind: 'login' }];
    case 'catalog':
      return [{ kind: 'catalog' }];
    case 'search':
      return route.resource === 'ping' ? [] : [{ kind: 'catalog' }];
    case 'tags':
    case 'referrers':
      return [{ kind: 'repository', repository: route.name, actions: ['pull'] }];
    case 'manifests':
    case 'blobs':
      return [{ kind: 'repository', repository: route.name, actions: actionsOf(method) }];
    case 'uploads':
      return [{ kind: 'repository', repository: route.name, actions: ['pull', 'push'] }];
  }
}

function actionsOf(method: string): readonly Action[] {
  if (method === 'GET' || method === 'HEAD') return ['pull'];
  return method === 'DELETE' ? ['delete'] : ['pull', 'push'];
}

/** Who was refused, and by which rule. For the audit log, which has more than the response. */
export interface Refusal {
  readonly actor: string | undefined;
  readonly rule?: string | undefined;
}

/** A request that was refused: 401 with a challenge, or 403. */
export class AccessRefused extends RegistryError {
  readonly refusal: Refusal;
  constructor(
    failure: 'UNAUTHORIZED' | 'DENIED',
    refusal: Refusal,
    { message, challenge }: { readonly message?: string; readonly challenge?: string | undefined } = {},
  ) {
    super(failure, message, [], {
      headers: challenge === undefined ? {} : { 'WWW-Authenticate': challenge },
    });
    this.refusal = refusal;
  }
}

/** An authorized request. */
export interface Admission {
  readonly caller: Caller;
  /** The rule that allowed it. */
  readonly rule: string | undefined;
  /** Whether access control decided. */
  readonly isControlled: boolean;
  /** The id of the quota that another process has checked, where a signed URL names it. */
  readonly quota?: string | undefined;
}

/** Where no access control decides. */
export const uncontrolled: Admission = {
  caller: unrestricted(undefined),
  rule: undefined,
  isControlled: false,
};

/** Decides whether a request is allowed, before its body is read. @throws RegistryError if it is not */
export type Authorize = (
  request: { readonly ctx: Exchange; readonly route: Route; readonly query: URLSearchParams },
  services: Services,
) => Promise<Admission>;

/**
 * Authenticates the caller by credentials, and authorizes the request.
 * @throws AccessRefused, and the RegistryErrors of `AccessControl.authenticate`
 */
export const authorize: Authorize = async ({ ctx, route }, { access }) => {
  // Anybody may probe, whatever credentials come with it. The token service verifies its own.
  if (route.group === 'health' || route.group === 'token' || access === open) return uncontrolled;
  const needed = neededFor(route, ctx.method);
  const credentials = credentialsOf(ctx);
  // With a challenge (RFC 9110, section 15.5.2), if there is a way to log in.
  const unauthorized = (refusal: Refusal, error?: ChallengeError) =>
    new AccessRefused('UNAUTHORIZED', refusal, { challenge: access.challenge(credentials, needed, error) });
  const caller = await access.authenticate(credentials).catch((error: unknown) => {
    const isRefused = error instanceof RegistryError && error.failure === 'UNAUTHORIZED';
    throw isRefused ? unauthorized({ actor: undefined }, 'invalid_token') : error;
  });
  const { actor } = caller;
  let rule: string | undefined;
  for (const each of needed)
    for (const decision of decisionsOf(caller, each)) {
      ({ rule } = decision);
      if (decision.outcome === 'deny') throw denied(caller, each, { actor, rule });
      if (decision.outcome === 'authenticate')
        throw unauthorized(
          { actor, rule },
          credentials.authorization === undefined ? undefined : 'insufficient_scope',
        );
    }
  return { caller, rule, isControlled: true };
};

function credentialsOf(ctx: Exchange): Credentials {
  const client = requestScope()?.client;
  return {
    authorization: ctx.req.headers.authorization,
    address: client?.address,
    origin: `${client?.protocol ?? ctx.protocol}://${client?.host ?? ctx.host}`,
  };
}

function decisionsOf(caller: Caller, needed: Needed): readonly Decision[] {
  if (needed.kind === 'login') return [caller.decideLogin()];
  if (needed.kind === 'catalog') return [caller.decideCatalog()];
  return needed.actions.map((action) => caller.decide(action, needed.repository));
}

/** Not the default message: docker retries a push for a minute after that one, and does not show it. */
const deniedUnseen = 'you may not do this, or the repository does not exist';

/** The message names the rule only to callers who may pull, so that others do not learn whether the repository exists. */
function denied(caller: Caller, needed: Needed, refusal: Refusal): AccessRefused {
  if (needed.kind !== 'repository' || caller.decide('pull', needed.repository).outcome !== 'allow')
    return new AccessRefused('DENIED', refusal, { message: deniedUnseen });
  const { actor = 'anonymous', rule } = refusal;
  const refused = needed.actions.filter(
    (action) => caller.decide(action, needed.repository).outcome === 'deny',
  );
  const because = rule === undefined ? '' : `: ${rule}`;
  return new AccessRefused('DENIED', refusal, {
    message: `${actor} may not ${refused.join(' and ')} in ${needed.repository}${because}`,
  });
}
