import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { cleanEnvironment } from '../servers/process.ts';

/** Milliseconds in which a wrong setting must be told. */
const patience = 20_000;

/** What a program did until its end, or until patience had one. */
export interface Ended {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

/** Runs Node to its end, with these settings and none of this process's own. */
export async function runNode(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Ended> {
  const child = spawn(process.execPath, args, {
    env: cleanEnvironment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: patience,
    killSignal: 'SIGKILL',
  });
  const texts = Promise.all([child.stdout.toArray(), child.stderr.toArray()]);
  const [code] = (await once(child, 'close')) as [number | null];
  const [output = '', errors = ''] = (await texts).map((pieces) => Buffer.concat(pieces).toString());
  return { code, output, errors };
}

const pathOf = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** `npm run serve`, which is to end. */
export const runServer = async (settings: Readonly<Record<string, string>>) =>
  await runNode([pathOf('infra/serve.ts')], { REGISTRY_HTTP_ADDR: '127.0.0.1:0', ...settings });
