import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { keepLog, keepSecrets } from '../logs/kept.ts';
import { cleanEnvironment } from '../servers/process.ts';

/** Milliseconds after which a program that should end by itself is ended. */
const patience = 60_000;

/** What a program did until its end, or until patience had one. */
export interface Ended {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

/** Runs Node to its end, with these settings and none of this process's own. @param node this one unless given */
export async function runNode(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  node = process.execPath,
): Promise<Ended> {
  keepSecrets(env);
  const child = spawn(node, args, {
    env: cleanEnvironment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: patience,
    killSignal: 'SIGKILL',
  });
  const texts = Promise.all([child.stdout.toArray(), child.stderr.toArray()]);
  const [code] = (await once(child, 'close')) as [number | null];
  const [output = '', errors = ''] = (await texts).map((pieces) => Buffer.concat(pieces).toString());
  keepLog()(output + errors);
  return { code, output, errors };
}

const pathOf = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** `npm run serve`, which is to end. */
export const runServer = async (settings: Readonly<Record<string, string>>) =>
  await runNode([pathOf('lib/commands/serve.ts')], { REGISTRY_HTTP_ADDR: '127.0.0.1:0', ...settings });

/** Runs one of the programs until it ends by itself. @param args its name below lib/commands/, and its arguments */
export async function runToEnd(
  [program = '', ...args]: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<{ code: number | null; output: string }> {
  return await runFile(`lib/commands/${program}`, args, env);
}

/** `npm run build` */
export const runBuild = async () => await runFile('infra/bundle.ts', [], {});

async function runFile(path: string, args: readonly string[], env: NodeJS.ProcessEnv) {
  const { code, output, errors } = await runNode([pathOf(path), ...args], env);
  return { code, output: output + errors };
}
