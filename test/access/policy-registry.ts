import { bcrypt } from 'hash-wasm';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { keepSecrets } from '../logs/kept.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { send, type Reply } from '../functions/client.ts';

/** Users of the tests, each with its name as a part of the password. */
export const passwordOf = (user: string): string => `password of ${user}`;

/** Settings of a registry with a policy, and the folder that they point into. */
export interface PolicySettings {
  readonly settings: Readonly<Record<string, string>>;
  readonly policyPath: string;
  readonly htpasswdPath: string;
  remove(): void;
}

/** @param policy text of the policy file @param users who can log in with {@link passwordOf} */
export async function policySettings(policy: string, users: readonly string[]): Promise<PolicySettings> {
  const folder = await temporaryFolder('access');
  const [policyPath, htpasswdPath] = [join(folder.path, 'policy.yaml'), join(folder.path, 'htpasswd')];
  await writeFile(policyPath, policy);
  await writeFile(htpasswdPath, await htpasswdOf(users));
  const settings = {
    REGISTRY_AUTH: 'policy',
    REGISTRY_AUTH_POLICY_PATH: policyPath,
    REGISTRY_AUTH_HTPASSWD_PATH: htpasswdPath,
    REGISTRY_HTTP_SECRET: 'a secret of a test that is long enough',
  };
  keepSecrets({ ...settings, PASSWORDS: users.map(passwordOf).join('\n') });
  return {
    settings,
    policyPath,
    htpasswdPath,
    remove: () => {
      folder.remove();
    },
  };
}

/** Lines of the least cost: these tests are not about bcrypt. */
export async function htpasswdOf(users: readonly string[]): Promise<string> {
  const lines = users.map(async (user) => {
    const hash = await bcrypt({ password: passwordOf(user), salt: randomBytes(16), costFactor: 4 });
    return `${user}:${hash}\n`;
  });
  return (await Promise.all(lines)).join('');
}

export function basic(user: string, password = passwordOf(user)): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

/** Asks the token service as docker does. */
export async function askToken(
  base: string,
  user: string | undefined,
  scopes: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<Reply> {
  const query = new URLSearchParams([
    ...scopes.map((scope): [string, string] => ['scope', scope]),
    ...Object.entries(more),
  ]);
  return await send(base, {
    method: 'GET',
    path: `/token?${query.toString()}`,
    headers: user === undefined ? {} : basic(user),
  });
}

/** A header with a token for a user; undefined for anonymous. */
export async function bearer(
  base: string,
  user: string | undefined,
  ...scopes: string[]
): Promise<Record<string, string>> {
  const reply = await askToken(base, user, scopes);
  const { token } = JSON.parse(reply.body.toString()) as { token?: string };
  if (token === undefined) throw new Error(`no token for ${user ?? 'anonymous'}: ${reply.body.toString()}`);
  return { authorization: `Bearer ${token}` };
}
