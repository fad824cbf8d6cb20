import { jwtVerify, SignJWT, type JWTPayload } from 'jose';
import type { Grant, Identity } from '../access.ts';
import { readIdentity } from './access-tokens.ts';

/*
 * Tokens that only the token service reads: refresh tokens, and those of robots. Clients keep them like passwords, so a prefix
 * tells them from passwords, and secret scanners from anything else.
 */

/** Who holds a refresh token. */
export type RefreshHolder =
  /** It dies with the user's line in the htpasswd file, whose fingerprint it has. */
  | { readonly kind: 'user'; readonly name: string; readonly fingerprint: string }
  /** The claims of the job's token that the policy names, by which the job is looked up anew. */
  | { readonly kind: 'ci'; readonly claims: Readonly<Record<string, unknown>> };

export type Robot = Extract<Identity, { kind: 'robot' }>;

export const refreshPrefix = 'stowage_refresh_';
export const robotPrefix = 'stowage_robot_';

const algorithm = 'HS256';

/** @param keys the first signs @param expires seconds since 1970 */
export async function signRefreshToken(
  keys: readonly Uint8Array[],
  service: string,
  holder: RefreshHolder,
  expires: number,
): Promise<string> {
  return refreshPrefix + (await sign(keys, service, { holder }, expires));
}

/** @returns undefined for one that is expired, altered, or of another registry or key */
export async function readRefreshToken(
  keys: readonly Uint8Array[],
  service: string,
  token: string,
): Promise<{ readonly holder: RefreshHolder; readonly expires: number } | undefined> {
  const payload = await verify(keys, service, refreshPrefix, token);
  const holder = payload?.['holder'];
  if (payload?.exp === undefined || typeof holder !== 'object' || holder === null) return undefined;
  const { kind, name, fingerprint, claims } = holder as Record<string, unknown>;
  if (kind === 'user' && typeof name === 'string' && typeof fingerprint === 'string')
    return { holder: { kind, name, fingerprint }, expires: payload.exp };
  if (kind === 'ci' && typeof claims === 'object' && claims !== null)
    return { holder: { kind, claims: claims as Record<string, unknown> }, expires: payload.exp };
  return undefined;
}

/** @param expires seconds since 1970 */
export async function signRobotToken(
  keys: readonly Uint8Array[],
  service: string,
  { name, grants }: { readonly name: string; readonly grants: readonly Grant[] | undefined },
  expires: number,
): Promise<string> {
  return robotPrefix + (await sign(keys, service, { name, grants }, expires));
}

/** @returns undefined for one that is expired, altered, or of another registry or key */
export async function readRobotToken(
  keys: readonly Uint8Array[],
  service: string,
  token: string,
): Promise<{ readonly robot: Robot; readonly expires: number } | undefined> {
  const payload = await verify(keys, service, robotPrefix, token);
  if (payload?.exp === undefined) return undefined;
  const robot = readIdentity({
    kind: 'robot',
    name: payload['name'],
    grants: payload['grants'],
    issuedAt: payload.iat,
  });
  return robot?.kind === 'robot' ? { robot, expires: payload.exp } : undefined;
}

async function sign(
  [key]: readonly Uint8Array[],
  service: string,
  payload: Readonly<Record<string, unknown>>,
  expires: number,
): Promise<string> {
  if (key === undefined) throw new Error('no secret to sign tokens with');
  return await new SignJWT(payload)
    .setProtectedHeader({ alg: algorithm })
    .setIssuer(service)
    .setAudience(service)
    .setIssuedAt()
    .setExpirationTime(expires)
    .sign(key);
}

async function verify(
  keys: readonly Uint8Array[],
  service: string,
  prefix: string,
  token: string,
): Promise<JWTPayload | undefined> {
  if (!token.startsWith(prefix)) return undefined;
  for (const key of keys)
    try {
      const { payload } = await jwtVerify(token.slice(prefix.length), key, {
        algorithms: [algorithm],
        issuer: service,
        audience: service,
        requiredClaims: ['exp', 'iat'],
      });
      return payload;
    } catch {
      // Signed with another one, or not valid at all.
    }
  return undefined;
}
