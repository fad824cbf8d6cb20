import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, realpath, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { getFromHelper, storeWithHelper } from './credential-helper.ts';

/** The parts of config.json of docker, and of auth.json of podman, that a login changes or asks for. */
interface LoginFile {
  readonly auths?: Readonly<Record<string, unknown>>;
  readonly credHelpers?: Readonly<Record<string, string>>;
  readonly credsStore?: string;
}

/**
 * Stores a password for a registry where docker, or with REGISTRY_AUTH_FILE podman, looks for it. All else in the file stays.
 * @returns where it is, for a message
 * @throws Error where the file is none of docker's, or cannot be written, or the helper fails
 */
export async function storeLogin(
  host: string,
  user: string,
  password: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const path = await resolved(pathOf(env));
  const file = await readLogins(path);
  const helper = file.credHelpers?.[host] ?? file.credsStore;
  const isHelped = typeof helper === 'string' && helper !== '';
  if (isHelped) await storeWithHelper(helper, { ServerURL: host, Username: user, Secret: password });
  // With a helper an empty entry says that there is a login, as docker has it.
  const entry = isHelped ? {} : { auth: Buffer.from(`${user}:${password}`).toString('base64') };
  await replace(path, { ...file, auths: { ...file.auths, [host]: entry } });
  return isHelped ? `the credential helper ${helper}` : path;
}

/** A login as docker stores it: with a password, or with a refresh token of a token service. */
export type StoredLogin =
  { readonly user: string; readonly password: string } | { readonly identityToken: string };

/**
 * The login that docker or podman has stored for a registry.
 * @returns undefined where there is none
 * @throws Error where the file is none of docker's, or the helper fails
 */
export async function readLogin(
  host: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<StoredLogin | undefined> {
  const path = pathOf(env);
  const { auths, credHelpers, credsStore } = await readLogins(path);
  const helper = credHelpers?.[host] ?? credsStore;
  if (typeof helper === 'string' && helper !== '') {
    const found = await getFromHelper(helper, host);
    if (found === undefined) return undefined;
    const { Username: user, Secret: secret } = found;
    return user === '<token>' ? { identityToken: secret } : { user, password: secret };
  }
  const entry = auths?.[host];
  if (!isObject(entry)) return undefined;
  const { auth, identitytoken: identityToken } = entry;
  if (typeof identityToken === 'string' && identityToken !== '') return { identityToken };
  const [user = '', password = ''] = Buffer.from(typeof auth === 'string' ? auth : '', 'base64')
    .toString()
    .split(/:(.*)/s);
  return user === '' ? undefined : { user, password };
}

function pathOf({ REGISTRY_AUTH_FILE: file, DOCKER_CONFIG: folder }: NodeJS.ProcessEnv): string {
  if (file !== undefined && file !== '') return file;
  return join(folder !== undefined && folder !== '' ? folder : join(homedir(), '.docker'), 'config.json');
}

/** What a link points at is replaced, and not the link. */
async function resolved(path: string): Promise<string> {
  return await realpath(path).catch(() => path);
}

async function readLogins(path: string): Promise<LoginFile> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
  // As podman has it.
  if (text.trim() === '') return {};
  const value = parsed(text);
  if (!isObject(value) || !isObject(value['auths'] ?? {}) || !isObject(value['credHelpers'] ?? {}))
    throw new Error(`${path} is no file of logins: it must be a JSON object as docker login writes it`);
  return value;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The message of the parser quotes the text, which has secrets.
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Atomically, and readable by its owner only. */
async function replace(path: string, content: LoginFile): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(content, undefined, '\t')}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
