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
  const program = `docker-credential-${name}`;
  if (!/^[\w.-]+$/.test(name)) throw new Error(`${JSON.stringify(name)} is no name of a credential helper`);
  const child = spawn(program, ['store'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    signal: AbortSignal.timeout(timeoutMs),
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(0, maxOutput);
  });
  // A helper that ends before it has read all says why.
  child.stdin.on('error', () => undefined).end(JSON.stringify(credentials));
  let code: number | null;
  try {
    [code] = (await once(child, 'close')) as [number | null];
  } catch (error) {
    throw new Error(`${program} ${faultOf(error as NodeJS.ErrnoException)}`, { cause: error });
  }
  if (code === 0) return;
  const message = said
    .replaceAll(credentials.Secret, '…')
    .replace(/\p{Cc}+/gu, ' ')
    .slice(0, maxMessage);
  throw new Error(`${program} failed: ${message.trim() || 'it was ended, or says nothing'}`);
}

function faultOf({ name, code }: NodeJS.ErrnoException): string {
  if (name === 'AbortError') return `took longer than ${timeoutMs / 1000} s`;
  return code === 'ENOENT' ? 'is not installed' : 'cannot be run';
}
