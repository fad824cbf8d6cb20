import { readPassword } from '../read-password.ts';
import { readLogin } from '../login/stored-logins.ts';
import type { Credentials } from './session.ts';

/**
 * With a user the password is in STOWAGE_PASSWORD or on standard input; without, the login is the one that docker, podman or
 * `stowage login` has stored for the host, if there is one.
 * @throws Error
 */
export async function readCredentials(
  user: string | undefined,
  host: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Credentials | undefined> {
  if (user === undefined) return await readLogin(host, env);
  const given = env['STOWAGE_PASSWORD'];
  const password = given !== undefined && given !== '' ? given : await readPassword('once');
  if (password === '')
    throw new Error('the password is empty; set STOWAGE_PASSWORD or write it to standard input');
  return { user, password };
}
