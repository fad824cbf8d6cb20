import { bearerParameters } from '../../protocol/challenges.ts';
import { ask, isLoopbackUrl, isSafe, type Reply } from './request.ts';

/** Where a registry has its tokens made. */
export interface TokenServiceAddress {
  /** https, or http on this machine. */
  readonly realm: string;
  /** What the registry calls itself. */
  readonly name: string;
}

/**
 * Asks a registry for its token service (Docker Registry v2 authentication, "Token Authentication Specification").
 * @throws Error where it has none that a secret may be sent to
 */
export async function findTokenService(host: string): Promise<TokenServiceAddress> {
  const { status, headers } = await askBase(host);
  if (status === 200) throw new Error(`${host} asks for no login`);
  const challenge = headers.get('www-authenticate') ?? '';
  if (status !== 401 || challenge === '')
    throw new Error(`${host} does not answer as a registry: the status of /v2/ is ${status}`);
  const { realm, service } = bearerParameters(challenge) ?? {};
  if (realm === undefined || service === undefined)
    throw new Error(`${host} has no token service: jobs can log in where REGISTRY_AUTH=policy`);
  if (!isSafe(realm))
    throw new Error(
      `the token service of ${host} is not on https, so no secret can be sent to it; REGISTRY_HTTP_HOST of the registry must be its https URL`,
    );
  return { realm, name: service };
}

/** On this machine a registry may speak http, as docker has it. */
async function askBase(host: string): Promise<Reply> {
  const url = `https://${host}/v2/`;
  if (!isLoopbackUrl(new URL(url))) return await ask(host, url);
  try {
    return await ask(host, url);
  } catch {
    return await ask(host, `http://${host}/v2/`);
  }
}
