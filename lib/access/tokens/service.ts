import type { Identity } from '../access.ts';
import type { Htpasswd } from '../htpasswd/htpasswd.ts';
import type { OidcVerifier } from '../oidc/verifier.ts';
import { ciIdentityOf } from '../policy/claims.ts';
import type { Policy } from '../policy/policy.ts';
import type { PolicySource } from '../policy/source.ts';
import { RegistryError } from '../../protocol/errors.ts';
import type { Login, TokenRequest, TokenResponse, TokenService } from '../token-service.ts';
import { accessTokenSeconds, minTokenSeconds, signAccessToken } from './access-tokens.ts';
import { accessTokenKey, refreshTokenKeys, robotTokenKeys } from './keys.ts';
import {
  readRefreshToken,
  readRobotToken,
  refreshPrefix,
  robotPrefix,
  signRefreshToken,
  type RefreshHolder,
} from './private-tokens.ts';
import { accessOf, formatScope, parseScopes, type ResourceAccess, type Scope } from './scopes.ts';

/** Seconds that the refresh token of a user is valid, which docker keeps instead of the password. */
const userRefreshSeconds = 90 * 24 * 3600;

/** The user name of a CI job, whose password is its OIDC token. */
const ciUser = 'oidc';

export interface PolicyTokenServiceOptions {
  /** The first signs, all are accepted. */
  readonly secrets: readonly [string, ...string[]];
  readonly service: string;
  readonly policies: Pick<PolicySource, 'current'>;
  /** Undefined where nobody logs in with a password of their own. */
  readonly htpasswd: Pick<Htpasswd, 'verify' | 'fingerprint'> | undefined;
  readonly oidc: OidcVerifier;
}

/** Who has logged in, and what a refresh token would say of it. */
interface Session {
  readonly identity: Identity;
  readonly holder: RefreshHolder | undefined;
  /** Seconds since 1970 after which nothing issued for it is valid. */
  readonly expires: number | undefined;
}

/** The registry's own token service. Any number of instances issue and accept the same tokens. */
export class PolicyTokenService implements TokenService {
  readonly #options: PolicyTokenServiceOptions;
  readonly #accessKey: ReturnType<typeof accessTokenKey>;
  readonly #refreshKeys: readonly Uint8Array[];
  readonly #robotKeys: readonly Uint8Array[];

  constructor(options: PolicyTokenServiceOptions) {
    this.#options = options;
    this.#accessKey = accessTokenKey(options.secrets[0]);
    this.#refreshKeys = refreshTokenKeys(options.secrets);
    this.#robotKeys = robotTokenKeys(options.secrets);
  }

  async issue({ login, scopes, service, offline, address }: TokenRequest): Promise<TokenResponse> {
    const wanted = parseScopes(scopes);
    this.#assertService(service);
    const policy = await this.#options.policies.current();
    const session = await this.#logIn(policy, login, address);
    const access = wanted
      .map((scope) => granted(policy, session.identity, scope))
      .filter(({ actions }) => actions.length > 0);
    const seconds = lifetimeOf(session);
    const { identity } = session;
    const token = await signAccessToken(
      this.#accessKey,
      this.#options.service,
      { identity, access },
      seconds,
    );
    return {
      token,
      access_token: token,
      expires_in: seconds,
      issued_at: new Date().toISOString(),
      scope: access.map(formatScope).join(' '),
      ...(offline && login.kind === 'password' && (await this.#refreshToken(session))),
    };
  }

  #assertService(service: string | undefined): void {
    if (service !== undefined && service !== this.#options.service)
      throw new RegistryError(
        'QUERY_INVALID',
        'service is not that of this registry; use the one of the challenge',
      );
  }

  async #refreshToken({ holder, expires }: Session): Promise<Pick<TokenResponse, 'refresh_token'>> {
    if (holder === undefined) return {};
    const end = expires ?? nowSeconds() + userRefreshSeconds;
    const token = await signRefreshToken(this.#refreshKeys, this.#options.service, holder, end);
    return { refresh_token: token };
  }

  /** @throws RegistryError UNAUTHORIZED */
  async #logIn(policy: Policy, login: Login, address: string | undefined): Promise<Session> {
    if (login.kind === 'anonymous')
      return { identity: { kind: 'anonymous' }, holder: undefined, expires: undefined };
    if (login.kind === 'refresh') return await this.#refresh(policy, login.token, undefined);
    const { user, password } = login;
    // Clients without refresh tokens keep ours as a password.
    if (password.startsWith(refreshPrefix)) return await this.#refresh(policy, password, user);
    if (password.startsWith(robotPrefix)) return await this.#robot(policy, user, password);
    if (user === ciUser) return await this.#job(policy, password);
    const { htpasswd } = this.#options;
    if (htpasswd === undefined) throw wrong();
    const { name, fingerprint } = await htpasswd.verify(user, password, address);
    return {
      identity: { kind: 'user', name },
      holder: { kind: 'user', name, fingerprint },
      expires: undefined,
    };
  }

  /** The policy and the password file decide anew. @param user that was sent with the token, if any */
  async #refresh(policy: Policy, token: string, user: string | undefined): Promise<Session> {
    const read = await readRefreshToken(this.#refreshKeys, this.#options.service, token);
    if (read === undefined) throw expired();
    const { holder, expires } = read;
    const name = holder.kind === 'ci' ? ciUser : holder.name;
    if (user !== undefined && user !== name)
      throw new RegistryError('UNAUTHORIZED', 'the user name must be the one that the token was issued for');
    if (holder.kind === 'ci') {
      const job = ciIdentityOf(policy.ci, holder.claims);
      if (job === undefined) throw expired();
      return { identity: { kind: 'ci', name: job.name }, holder, expires };
    }
    const fingerprint = await this.#options.htpasswd?.fingerprint(holder.name);
    if (fingerprint === undefined || fingerprint !== holder.fingerprint) throw expired();
    return { identity: { kind: 'user', name: holder.name }, holder, expires };
  }

  async #robot(policy: Policy, user: string, token: string): Promise<Session> {
    const read = await readRobotToken(this.#robotKeys, this.#options.service, token);
    if (read === undefined || policy.isRevoked(read.robot)) throw expired();
    const { robot, expires } = read;
    // Not `robot:NAME`: Basic credentials have no colon in a user name (RFC 7617, section 2).
    if (user !== robot.name)
      throw new RegistryError('UNAUTHORIZED', 'the user name must be that of the robot');
    return { identity: robot, holder: undefined, expires };
  }

  /** A job's token is accepted while it is valid, and what it becomes lives as long as the policy says. */
  async #job(policy: Policy, token: string): Promise<Session> {
    const payload = await this.#options.oidc.verify(token, policy.ci);
    const job = ciIdentityOf(policy.ci, payload);
    if (job === undefined)
      throw new RegistryError(
        'UNAUTHORIZED',
        'no identity in the policy has the claims of this job; stowage policy explain says how they are matched',
      );
    return {
      identity: { kind: 'ci', name: job.name },
      holder: { kind: 'ci', claims: mentioned(policy, payload) },
      expires: nowSeconds() + job.lifetime,
    };
  }
}

/** Of what is asked for in a scope, what the policy allows. */
function granted(policy: Policy, identity: Identity, scope: Scope): ResourceAccess {
  if (scope.kind === 'catalog') return accessOf(scope);
  const { repository, actions } = scope;
  const allowed = actions.filter((action) => policy.decide(identity, action, repository).allowed);
  return accessOf({ kind: 'repository', repository, actions: allowed });
}

/** Seconds that an access token is valid: no longer than its session, but for the least that clients know. */
function lifetimeOf({ expires = Infinity }: Session): number {
  return Math.max(minTokenSeconds, Math.min(accessTokenSeconds, expires - nowSeconds()));
}

/** The claims that identities of the policy look at: others may be personal, and make the token long. */
function mentioned(
  policy: Policy,
  payload: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const names = new Set([
    'iss',
    'aud',
    ...policy.ci.flatMap(({ claims }) => claims.map(({ path }) => path[0])),
  ]);
  return Object.fromEntries(Object.entries(payload).filter(([name]) => names.has(name)));
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

const wrong = () => new RegistryError('UNAUTHORIZED');

const expired = () =>
  new RegistryError(
    'UNAUTHORIZED',
    'the token has expired, was revoked, or is of another registry or secret; log in again',
  );
