import type {
  AccessControl,
  Action,
  Caller,
  ChallengeError,
  Credentials,
  Decision,
  Identity,
  Needed,
} from '../access.ts';
import { nameOf } from '../access.ts';
import { RegistryError } from '../../protocol/errors.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Policy } from '../policy/policy.ts';
import type { PolicySource } from '../policy/source.ts';
import { verifyAccessToken, type AccessToken } from './access-tokens.ts';
import { bearerChallenge, bearerToken } from './challenge.ts';
import type { PublicKey } from './keys.ts';
import { covers, type ResourceAccess } from './scopes.ts';
import { VerifiedTokens } from './verified-tokens.ts';

export interface PolicyAccessOptions {
  readonly policies: Pick<PolicySource, 'current'>;
  /** Of access tokens. */
  readonly keys: readonly PublicKey[];
  readonly service: string;
  /** `https://host` of the registry; undefined for the one that a client uses. */
  readonly host: string | undefined;
  /** Of the token service. */
  readonly tokenPath: string;
}

/**
 * `REGISTRY_AUTH=policy`: tokens of this registry's own token service say who sends a request, and the policy what the sender may
 * do. A request without a token is anonymous.
 */
export class PolicyAccess implements AccessControl {
  readonly #options: PolicyAccessOptions;
  readonly #verified = new VerifiedTokens<AccessToken>();

  constructor(options: PolicyAccessOptions) {
    this.#options = options;
  }

  async authenticate({ authorization }: Credentials): Promise<Caller> {
    const { policies, keys, service } = this.#options;
    const policy = await policies.current();
    if (authorization === undefined) return callerOf(policy, { kind: 'anonymous' }, undefined);
    const token = bearerToken(authorization);
    if (token === undefined) throw new RegistryError('UNAUTHORIZED');
    const verify = async () => await verifyAccessToken(keys, service, token);
    const { identity, access } = await this.#verified.read(token, verify);
    return callerOf(policy, identity, access);
  }

  challenge({ origin }: Credentials, needed: readonly Needed[], error: ChallengeError | undefined): string {
    const { host = origin, service, tokenPath } = this.#options;
    return bearerChallenge(`${host}${tokenPath}`, service, needed, error);
  }
}

/** @param access of the caller's token; undefined without one */
function callerOf(policy: Policy, identity: Identity, access: readonly ResourceAccess[] | undefined): Caller {
  const isAnonymous = identity.kind === 'anonymous';
  const decide = (action: Action, repository: RepositoryName): Decision => {
    const { allowed, rule } = policy.decide(identity, action, repository);
    // Whoever has not logged in may be allowed more afterwards.
    if (!allowed) return { outcome: isAnonymous ? 'authenticate' : 'deny', rule };
    const isCovered = access === undefined || covers(access, 'repository', repository, action);
    return isCovered
      ? { outcome: 'allow', rule }
      : { outcome: 'authenticate', rule: 'the scope of the token' };
  };
  return {
    actor: isAnonymous ? undefined : nameOf(identity),
    decideLogin: () => ({ outcome: access === undefined ? 'authenticate' : 'allow' }),
    decide,
    decideCatalog: () => ({ outcome: isAnonymous && !mayListAny(policy) ? 'authenticate' : 'allow' }),
    shows: (repository) =>
      policy.decide(identity, 'list', repository).allowed &&
      policy.decide(identity, 'pull', repository).allowed,
    immutableTags: (repository) =>
      policy.hasImmutable(repository) ? (tag) => policy.immutable(repository, tag) : undefined,
  };
}

/** Whether a rule lets callers without a login list anything. */
function mayListAny({ content: { rules } }: Policy): boolean {
  return rules.some(
    ({ allows, actions, who }) =>
      allows && actions.has('list') && who.some(({ kind }) => kind === 'everybody' || kind === 'anonymous'),
  );
}
