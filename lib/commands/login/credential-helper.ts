import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Milliseconds that a helper may take. It may ask its user. */
const timeoutMs = 60_000;

/** Characters of a helper's output that are read, and those that are shown. */
const maxOutput = 64 * 1024;
const maxMessage = 300;

/** What credential helpers of docker take. */
export interface HelperCredentials {
  readonly ServerURL: string;
  readonly Username: string;
  readonly Secret: string;
}

/**
 * Runs `docker-credential-NAME store`.
 * @throws Error with the helper's message where it fails, or is not installed
 */
export async function storeWithHelper(name: string, credentials: HelperCredentials): Promise<void> {
  const { code, said } = await run(name, 'store', JSON.stringify(credentials));
  if (code !== 0) throw new Error(failure(name, said.replaceAll(credentials.Secret, '…')));
}

/**
 * Runs `docker-credential-NAME get`.
 * @returns undefined where the helper has none
 * @throws Error with the helper's message where it fails, or is not installed
 */
export async function getFromHelper(name: string, host: string): Promise<HelperCredentials | undefined> {
  const { code, said } = await run(name, 'get', host);
  // As docker's own code has it.
  if (code !== 0 && said.includes('credentials not found')) return undefined;
  if (code !== 0) throw new Error(failure(name, said));
  try {
    const { Username: user, Secret: secret } = JSON.parse(said) as Partial<HelperCredentials>;
    return { ServerURL: host, Username: String(user), Secret: String(secret) };
  } catch {
    // The message of the parser quotes the text, which has a secret.
    throw new Error(`${programOf(name)} answered with what is no JSON`);
  }
}

async function run(
  name: string,
  action: 'get' | 'store',
  input: string,
): Promise<{ code: number | null; said: string }> {
  const program = programOf(name);
  const child = spawn(program, [action], {
    stdio: ['pipe', 'pipe', 'ignore'],
    signal: AbortSignal.timeout(timeoutMs),
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(0, maxOutput);
  });
  // A helper that ends before it has read all says why.
  child.stdin.on('error', () => undefined).end(input);
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, said };
  } catch (error) {
    throw new Error(`${program} ${faultOf(error as NodeJS.ErrnoException)}`, { cause: error });
  }
}

function programOf(name: string): string {
  if (!/^[\w.-]+$/.test(name)) throw new Error(`${JSON.stringify(name)} is no name of a credential helper`);
  return `docker-credential-${name}`;
}

function failure(name: string, said: string): string {
  const message = said
    .replace(/\p{Cc}+/gu, ' ')
    .slice(0, maxMessage)
    .trim();
  return `${programOf(name)} failed: ${message || 'it was ended, or says nothing'}`;
}

function faultOf({ name, code }: NodeJS.ErrnoException): string {
  if (name === 'AbortError') return `took longer than ${timeoutMs / 1000} s`;
  return code === 'ENOENT' ? 'is not installed' : 'cannot be run';
}
