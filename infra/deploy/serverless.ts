import { spawn } from 'node:child_process';
import { endOf } from './interruption.ts';
import { root } from '../../lib/commands/checkout.ts';

export interface ServerlessInput {
  readonly stage: string;
  readonly region: string;
  readonly parameters: Readonly<Record<string, string>>;
  /** Folder of the packages. */
  readonly folder: string;
}

/** Characters of the output that are kept for a failure. */
const keptCharacters = 20_000;

/** osls failed. The message is what it said. */
export class ServerlessError extends Error {
  override readonly name = 'ServerlessError';
}

/**
 * Runs osls, which prints nothing while it succeeds.
 * @throws ServerlessError; the reason of `interrupted` after a signal
 */
export async function runServerless(
  command: 'package' | 'deploy',
  { stage, region, parameters, folder }: ServerlessInput,
  interrupted: AbortSignal,
): Promise<void> {
  const params = Object.entries(parameters).map(([name, value]) => `--param=${name}=${value}`);
  const args = [command, '--stage', stage, '--region', region, '--package', folder, ...params];
  // No update checks, no usage data.
  const env = { SLS_NOTIFICATIONS_MODE: 'off', SLS_TRACKING_DISABLED: '1' };
  const program = ['node_modules/serverless/bin/serverless.js', ...args];
  const { code, output } = await runNode(program, env, interrupted);
  if (code !== 0) throw new ServerlessError(essence(output) || 'it was interrupted');
}

/** `npm run build` @throws Error */
export async function runBuild(interrupted: AbortSignal): Promise<void> {
  const { code, output } = await runNode(['infra/bundle.ts'], {}, interrupted);
  if (code !== 0) throw new Error(`the build failed:\n${output.trim()}`);
}

async function runNode(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  interrupted: AbortSignal,
): Promise<{ code: number; output: string }> {
  interrupted.throwIfAborted();
  const child = spawn(process.execPath, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-keptCharacters);
    });
  const code = (await endOf(child, interrupted)) ?? 1;
  interrupted.throwIfAborted();
  return { code, output };
}

/** What osls says of itself, of its progress and of settings. */
const noise =
  /^(Warning: |Packaging |Deploying |Deprecation|Environment: |Docs: |Error:$|[✖×✔] |\d+ deprecation|\s+at )/;

/** The message of osls. */
export function essence(output: string): string {
  const lines = output.split('\n').map((line) => line.trimEnd());
  return lines.filter((line) => line !== '' && !noise.test(line)).join('\n');
}
