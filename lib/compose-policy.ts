import type { Logger } from 'pino';
import type { Htpasswd, PasswordOutcome } from './access/htpasswd/htpasswd.ts';
import type { PolicySource } from './access/policy/source.ts';
import type { TokenService } from './access/token-service.ts';
import { accessTokenKey, publicKey } from './access/tokens/keys.ts';
import { PolicyAccess } from './access/tokens/policy-access.ts';
import { openPolicy } from './compose-policy-sources.ts';
import { tokenService, type PolicyAuthConfig } from './config/auth.ts';
import type { Config, Program } from './config/config.ts';
import type { HtpasswdSource } from './config/htpasswd.ts';
import type { Services } from './http/services.ts';
import { immutableTagsWarning } from './registry/immutable-tags.ts';
import type { ObjectStore } from './storage/store.ts';

/** What access control is made of. */
export interface AccessContext {
  readonly program: Program;
  readonly config: Config;
  readonly store: ObjectStore;
  readonly log: Logger;
  readonly onPasswordChecked: (outcome: PasswordOutcome) => void;
  /** Opens a password file. */
  readonly openHtpasswd: (source: HtpasswdSource) => Promise<Htpasswd>;
}

/** Access control, the token service, and the policy that they read, if there is one. */
export interface Access extends Pick<Services, 'access' | 'tokens'> {
  readonly policies?: PolicySource;
}

/** Wires `REGISTRY_AUTH=policy`, in a module that is loaded on demand, whole. @throws Error as `createAccess` */
export async function createPolicyAccess(context: AccessContext, auth: PolicyAuthConfig): Promise<Access> {
  const { program, config } = context;
  const policies = await createPolicySource(context, auth);
  const service = tokenService(auth, config.host);
  const keys = [...auth.publicKeys.map(publicKey), ...auth.secrets.map(accessTokenKey)];
  const access = new PolicyAccess({
    policies,
    keys,
    service,
    host: config.host,
    tokenPath: `${config.prefix}/token`,
  });
  const [secret, ...previous] = auth.secrets;
  if (secret === undefined) return { access, tokens: undefined, policies };
  const secrets = [secret, ...previous] as const;
  const tokens = onceSuccessful(
    async () => await createTokenService({ ...context, auth, secrets, service, policies }),
  );
  // A function starts faster without, and only one of them issues tokens.
  if (program === 'server') await tokens();
  return { access, tokens, policies };
}

/** A server logs problems of its policy at start, and starts all the same: the policy can be fixed later. */
async function createPolicySource(
  { program, config, store, log }: AccessContext,
  { policy }: PolicyAuthConfig,
): Promise<PolicySource> {
  const reports = {
    onProblem: (message: string) => {
      log.error(message);
    },
    onLoaded: (message: string) => {
      log.info(message);
    },
  };
  const policies = openPolicy(store, policy, reports);
  if (program !== 'server') return policies;
  const first = await policies.current().catch(() => undefined);
  if (first !== undefined && first.content.immutableTags.length > 0 && !config.readOnly) {
    const warning = immutableTagsWarning(store.limits);
    if (warning !== undefined) log.warn(warning);
  }
  return policies;
}

interface TokenServiceContext extends Pick<AccessContext, 'log' | 'openHtpasswd'> {
  readonly auth: PolicyAuthConfig;
  readonly secrets: readonly [string, ...string[]];
  readonly service: string;
  readonly policies: PolicySource;
}

async function createTokenService(context: TokenServiceContext): Promise<TokenService> {
  const { auth, secrets, service, policies, log, openHtpasswd } = context;
  const [{ PolicyTokenService }, { OidcVerifier }, { IssuerKeys }] = await Promise.all([
    import('./access/tokens/service.ts'),
    import('./access/oidc/verifier.ts'),
    import('./access/oidc/issuer-keys.ts'),
  ]);
  const issuerKeys = new IssuerKeys({
    warn: (message) => {
      log.warn(message);
    },
  });
  return new PolicyTokenService({
    secrets,
    service,
    policies,
    htpasswd: auth.htpasswd && (await openHtpasswd(auth.htpasswd)),
    oidc: new OidcVerifier({ keys: issuerKeys }),
  });
}

/** Shares the result of the first successful call. After a failure, the next call tries again. */
function onceSuccessful<T>(create: () => Promise<T>): () => Promise<T> {
  let creating: Promise<T> | undefined;
  return async () => {
    const current = (creating ??= create());
    return await current.catch((error: unknown) => {
      if (creating === current) creating = undefined;
      throw error;
    });
  };
}
