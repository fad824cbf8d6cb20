import type { Htpasswd, HtpasswdOptions } from './access/htpasswd/htpasswd.ts';
import { share } from './concurrency/share.ts';
import { open } from './access/callers.ts';
import type { Access, AccessContext } from './compose-policy.ts';
import type { HtpasswdSource } from './config/htpasswd.ts';
import type { Config } from './config/config.ts';

type Context = Omit<AccessContext, 'openHtpasswd'>;

/**
 * Wires access control and the token service, and loads their modules on demand. A data plane ignores credentials: its signed
 * URLs are the only authority.
 * @throws Error if a file with passwords, keys or certificates is invalid or cannot be read
 */
export async function createAccess(context: Context): Promise<Access> {
  const { auth } = context.config;
  if (context.program === 'data-plane' || auth.kind === 'none') return { access: open, tokens: undefined };
  if (auth.kind === 'policy') {
    const { createPolicyAccess } = await import('./compose-policy.ts');
    return await createPolicyAccess(
      { ...context, openHtpasswd: async (source) => await openHtpasswd(source, context) },
      auth,
    );
  }
  if (auth.kind === 'token') {
    const { ExternalTokens } = await import('./access/tokens/external.ts');
    return { access: await ExternalTokens.open(auth), tokens: undefined };
  }
  const { HtpasswdAccess } = await import('./access/htpasswd/access-control.ts');
  const htpasswd = await openHtpasswd(auth.source, context);
  return { access: new HtpasswdAccess(htpasswd, auth.realm), tokens: undefined };
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
