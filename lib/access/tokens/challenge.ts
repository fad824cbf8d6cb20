import type { ChallengeError, Needed } from '../access.ts';
import { formatScope } from './scopes.ts';

/**
 * The challenge of the token protocol (Docker Registry v2 authentication, "How to authenticate"; RFC 6750, section 3).
 * @param realm absolute URL of the token service
 */
export function bearerChallenge(
  realm: string,
  service: string,
  needed: readonly Needed[],
  error: ChallengeError | undefined,
): string {
  const scope = needed.flatMap((one) => {
    if (one.kind === 'login') return [];
    if (one.kind === 'catalog') return ['registry:catalog:*'];
    return [formatScope({ type: 'repository', name: one.repository, actions: one.actions })];
  });
  const parameters = {
    realm,
    service,
    ...(scope.length > 0 && { scope: scope.join(' ') }),
    ...(error !== undefined && { error }),
  };
  return `Bearer ${Object.entries(parameters)
    .map(([name, value]) => `${name}=${quoted(value)}`)
    .join(',')}`;
}

/** A quoted string (RFC 9110, section 5.6.4): the host of the realm may be what a client has made up. */
function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

/**
 * The token of an `Authorization: Bearer` header (RFC 6750, section 2.1), undefined for anything else.
 */
export function bearerToken(authorization: string | undefined): string | undefined {
  const [, token] = /^bearer +([\w.~+/-]+=*) *$/i.exec(authorization ?? '') ?? [];
  return token;
}
