import type { Logger } from 'pino';
import type { Htpasswd, HtpasswdOptions, PasswordOutcome } from './access/htpasswd/htpasswd.ts';
import { share } from './concurrency/share.ts';
import { open } from './access/callers.ts';
import type { PolicySource } from './access/policy/source.ts';
import type { TokenService } from './access/token-service.ts';
import { tokenService, type PolicyAuthConfig } from './config/auth.ts';
import type { HtpasswdSource } from './config/htpasswd.ts';
import type { Config, Program } from './config/config.ts';
import type { Services } from './http/services.ts';
import { immutableTagsWarning } from './registry/immutable-tags.ts';
import type { ObjectStore } from './storage/store.ts';

interface Context {
  readonly program: Program;
  readonly config: Config;
  readonly store: ObjectStore;
  readonly log: Logger;
  readonly onPasswordChecked: (outcome: PasswordOutcome) => void;
}

/**
 * Wires access control and the token service, and loads their modules on demand. A data plane ignores credentials: its signed
 * URLs are the only authority.
 * @throws Error if a file with passwords, keys or certificates is invalid or cannot be read
 */
export async function createAccess(context: Context): Promise<Pick<Services, 'access' | 'tokens'>> {
  const { auth } = context.config;
  if (context.program === 'data-plane' || auth.kind === 'none') return { access: open, tokens: undefined };
  if (auth.kind === 'policy') return await createPolicyAccess(context, auth);
  if (auth.kind === 'token') {
    const { ExternalTokens } = await import('./access/tokens/external.ts');
    return { access: await ExternalTokens.open(auth), tokens: undefined };
  }
  const { HtpasswdAccess } = await import('./access/htpasswd/access-control.ts');
  const htpasswd = await openHtpasswd(auth.source, context);
  return { access: new HtpasswdAccess(htpasswd, auth.realm), tokens: undefined };
}

async function createPolicyAccess(
  context: Context,
  auth: PolicyAuthConfig,
): Promise<Pick<Services, 'access' | 'tokens'>> {
  const [{ PolicyAccess }, { accessTokenKey, publicKey }] = await Promise.all([
    import('./access/tokens/policy-access.ts'),
    import('./access/tokens/keys.ts'),
  ]);
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
  if (secret === undefined) return { access, tokens: undefined };
  const secrets = [secret, ...previous] as const;
  const tokens = onceSuccessful(
    async () => await createTokenService({ ...context, auth, secrets, service, policies }),
  );
  // A function starts faster without, and only one of them issues tokens.
  if (program === 'server') await tokens();
  return { access, tokens };
}

/** A server logs problems of its policy at start, and starts all the same: the policy can be fixed later. */
async function createPolicySource(
  { program, config, store, log }: Context,
  { policy }: PolicyAuthConfig,
): Promise<PolicySource> {
  const { PolicySource } = await import('./access/policy/source.ts');
  const reports = {
    onProblem: (message: string) => {
      log.error(message);
    },
    onLoaded: (message: string) => {
      log.info(message);
    },
  };
  const policies =
    policy.kind === 'file'
      ? PolicySource.file(policy.path, reports)
      : PolicySource.object(store, policy.key, reports);
  if (program !== 'server') return policies;
  const first = await policies.current().catch(() => undefined);
  if (first !== undefined && first.content.immutableTags.length > 0 && !config.readOnly) {
    const warning = immutableTagsWarning(store.limits);
    if (warning !== undefined) log.warn(warning);
  }
  return policies;
}

interface TokenServiceContext extends Pick<Context, 'config' | 'log' | 'onPasswordChecked'> {
  readonly auth: PolicyAuthConfig;
  readonly secrets: readonly [string, ...string[]];
  readonly service: string;
  readonly policies: PolicySource;
}

async function createTokenService(context: TokenServiceContext): Promise<TokenService> {
  const { auth, secrets, service, policies, log } = context;
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
    htpasswd: auth.htpasswd && (await openHtpasswd(auth.htpasswd, context)),
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

async function openHtpasswd(
  source: HtpasswdSource,
  { config, log, onPasswordChecked }: Pick<Context, 'config' | 'log' | 'onPasswordChecked'>,
): Promise<Htpasswd> {
  const { Htpasswd } = await import('./access/htpasswd/htpasswd.ts');
  return await Htpasswd.open(source, {
    ...(config.workerNumber !== undefined && (await sharedByWorkers(config))),
    warn: (message) => {
      log.warn(message);
    },
    onChecked: onPasswordChecked,
  });
}

/** Workers count wrong passwords together, and have the threads of one process. */
async function sharedByWorkers({
  workers = 1,
}: Config): Promise<Pick<HtpasswdOptions, 'attempts' | 'threads'>> {
  const [{ attemptsOfAllWorkers }, { defaultThreads }] = await Promise.all([
    import('./access/htpasswd/shared-attempts.ts'),
    import('./access/htpasswd/verifier.ts'),
  ]);
  return { attempts: attemptsOfAllWorkers(), threads: share(defaultThreads, workers) };
}
