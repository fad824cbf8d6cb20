import { jwtVerify, SignJWT } from 'jose';
import { actions, type Action, type Grant, type Identity } from '../access.ts';
import { RegistryError } from '../../protocol/errors.ts';
import type { PrivateKey, PublicKey } from './keys.ts';
import { readAccess, type ResourceAccess } from './scopes.ts';
import type { Verified } from './verified-tokens.ts';

/*
 * Access tokens: JWTs with the claims of the token protocol ("Docker Registry v2 Bearer token specification"), and `identity`,
 * by which the policy is evaluated anew at each request.
 */

/** Seconds that an access token is valid. With the {@link leeway} it is never accepted for more than five minutes. */
export const accessTokenSeconds = 240;

/** Least seconds: clients take shorter ones for this long. */
export const minTokenSeconds = 60;

/** Seconds that clocks may differ. */
const leeway = 60;

const algorithm = 'EdDSA';

export interface AccessToken {
  readonly identity: Identity;
  readonly access: readonly ResourceAccess[];
}

/** @param seconds that it is valid @returns the token */
export async function signAccessToken(
  { id, privateKey }: PrivateKey,
  service: string,
  { identity, access }: AccessToken,
  seconds: number,
): Promise<string> {
  return await new SignJWT({ identity, access })
    .setProtectedHeader({ alg: algorithm, kid: id, typ: 'JWT' })
    .setIssuer(service)
    .setAudience(service)
    .setIssuedAt()
    .setNotBefore('0 seconds')
    .setExpirationTime(`${seconds} seconds`)
    .sign(privateKey);
}

/**
 * Reads an access token of this registry. The key is chosen among those that are configured, by its id alone.
 * @throws RegistryError UNAUTHORIZED
 */
export async function verifyAccessToken(
  keys: readonly PublicKey[],
  service: string,
  token: string,
): Promise<Verified<AccessToken>> {
  try {
    const { payload } = await jwtVerify(
      token,
      ({ kid }) => {
        const key = keys.find(({ id }) => id === kid);
        if (key === undefined) throw new Error('unknown key');
        return key.key;
      },
      {
        algorithms: [algorithm],
        issuer: service,
        audience: service,
        clockTolerance: leeway,
        requiredClaims: ['exp', 'iat'],
      },
    );
    const [identity, access] = [readIdentity(payload['identity']), readAccess(payload['access'])];
    if (identity !== undefined && access !== undefined)
      return { value: { identity, access }, until: (payload.exp ?? 0) + leeway };
  } catch {
    // Whatever is wrong with it, the client needs another one.
  }
  throw new RegistryError('UNAUTHORIZED', 'the token is not valid; log in again');
}

/** What was signed is believed in its meaning, but its shape may be that of another release. */
export function readIdentity(value: unknown): Identity | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { kind, name, issuedAt, grants } = value as Record<string, unknown>;
  if (kind === 'anonymous') return { kind };
  if (typeof name !== 'string') return undefined;
  if (kind === 'user' || kind === 'ci') return { kind, name };
  if (kind !== 'robot' || typeof issuedAt !== 'number') return undefined;
  if (grants === undefined) return { kind, name, issuedAt };
  return Array.isArray(grants) && grants.every(isGrant) ? { kind, name, issuedAt, grants } : undefined;
}

function isGrant(value: unknown): value is Grant {
  if (typeof value !== 'object' || value === null) return false;
  const grant = value as Record<string, unknown>;
  return (
    Array.isArray(grant['actions']) &&
    grant['actions'].every((one) => actions.includes(one as Action)) &&
    Array.isArray(grant['repositories']) &&
    grant['repositories'].every((one) => typeof one === 'string')
  );
}
