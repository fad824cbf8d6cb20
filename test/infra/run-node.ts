import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { memoryEnvironment, memoryFlags } from '../../lib/commands/low-memory.ts';
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
  await runStowage(['serve'], { REGISTRY_HTTP_ADDR: '127.0.0.1:0', ...settings });

/** Runs the command `stowage` until it ends by itself, with what the scripts of package.json give it. */
export async function runStowage(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const program = [...memoryFlags, pathOf('lib/commands/stowage.ts')];
  return await runNode([...program, ...args], { ...memoryEnvironment, ...env });
}

/** The same, with all that it wrote as one text. */
export async function runToEnd(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Result> {
  return resultOf(await runStowage(args, env));
}

/** `npm run build` */
export const runBuild = async () => resultOf(await runNode([pathOf('infra/bundle.ts')], {}));

type Result = Pick<Ended, 'code' | 'output'>;

const resultOf = ({ code, output, errors }: Ended): Result => ({ code, output: output + errors });
