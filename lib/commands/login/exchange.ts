import type { TokenServiceAddress } from './challenge.ts';
import { ask, type Reply } from './request.ts';

/** The user name of CI jobs. */
export const jobUser = 'oidc';

/**
 * Exchanges the token of a job for a refresh token, which is accepted as a password (Docker Registry v2 authentication,
 * "OAuth2 Token Authentication").
 * @throws Error that says why it was refused
 */
export async function exchange({ realm, name }: TokenServiceAddress, token: string): Promise<string> {
  const body = new URLSearchParams({
    grant_type: 'password',
    service: name,
    client_id: 'stowage',
    access_type: 'offline',
    username: jobUser,
    password: token,
  });
  const reply = await ask('the token service', realm, { method: 'POST', body });
  if (reply.status !== 200)
    throw new Error(`the token service refused the login with status ${reply.status}${reasonIn(reply)}`);
  const password = reply.body['refresh_token'];
  if (typeof password !== 'string' || password === '')
    throw new Error(
      'the token service gave no refresh token: it takes no logins of CI jobs, which need REGISTRY_AUTH=policy',
    );
  return password;
}

/** Characters of a message that are shown. */
const maxMessage = 300;

function reasonIn({ body: { errors } }: Reply): string {
  const [first] = (Array.isArray(errors) ? errors : []) as { message?: unknown }[];
  if (typeof first?.message !== 'string') return '';
  return `: ${first.message.replace(/\p{Cc}/gu, ' ').slice(0, maxMessage)}`;
}

/** Seconds since 1970 after which a refresh token of Stowage is void; undefined for another's, which may not say it. */
export function expiryOf(password: string): number | undefined {
  const [, payload] = password.split('.');
  try {
    const { exp } = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString()) as { exp?: unknown };
    return typeof exp === 'number' && exp > 0 && exp < 1e11 ? exp : undefined;
  } catch {
    return undefined;
  }
}
