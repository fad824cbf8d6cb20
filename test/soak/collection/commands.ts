import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { atExit } from '../../servers/cleanup.ts';
import { cleanEnvironment } from '../../servers/process.ts';
import { programFile } from '../../servers/programs.ts';

/** How a command ended, and all it wrote. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
  readonly errors: string;
}

/**
 * Runs a command of this project, however it ends.
 * @param started receives its process, to kill and stop it
 */
export async function stowage(
  args: readonly string[],
  settings: Readonly<Record<string, string>>,
  started: (child: ChildProcess) => void = () => undefined,
): Promise<Ended> {
  const child = spawn(process.execPath, [programFile('lib/commands/stowage.ts'), ...args], {
    env: cleanEnvironment(settings),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const forget = atExit(() => child.kill('SIGKILL'));
  let [output, errors] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  started(child);
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  forget();
  return { code, signal, output, errors };
}
