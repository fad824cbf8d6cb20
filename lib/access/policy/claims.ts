import type { CiIdentity } from './model.ts';
import type { Pattern } from './patterns.ts';

/**
 * The first identity whose issuer, audience and claims match a job's token, or undefined.
 * @param payload of a token with a verified signature and valid times
 */
export function ciIdentityOf(
  identities: readonly CiIdentity[],
  payload: Readonly<Record<string, unknown>>,
): CiIdentity | undefined {
  return identities.find((identity) => matchesJob(identity, payload));
}

/** Whether issuer, audience and all claims of an identity match a token. */
export function matchesJob(
  { issuer, audience, claims }: CiIdentity,
  payload: Readonly<Record<string, unknown>>,
): boolean {
  const { iss, aud } = payload;
  if (iss !== issuer || !(aud === audience || (Array.isArray(aud) && aud.includes(audience)))) return false;
  return claims.every(({ path, values }) => isOneOf(valueAt(payload, path), values));
}

function valueAt(payload: unknown, path: readonly string[]): unknown {
  let value = payload;
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

/** Of a list, one item must match. Numbers and booleans are compared in their JSON form. */
function isOneOf(value: unknown, patterns: readonly Pattern[]): boolean {
  if (Array.isArray(value)) return value.some((item) => typeof item === 'string' && isOneOf(item, patterns));
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return false;
  const segments = String(value).split('/');
  return patterns.some((pattern) => pattern.matches(segments));
}
