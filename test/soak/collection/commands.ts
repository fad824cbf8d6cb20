import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { atExit } from '../../servers/cleanup.ts';
import { cleanEnvironment } from '../../servers/process.ts';
import { programFile } from '../../servers/programs.ts';
import type { Random } from '../random.ts';
import type { Starts } from './starts.ts';
import type { Trap } from './trap.ts';

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

interface Running {
  readonly child: ChildProcess;
  readonly trap: Trap;
}

/** Commands of this project on one storage, which may be killed and stopped while they run. */
export class Commands {
  readonly #starts: Starts;
  readonly #running = new Set<Running>();
  readonly #ending: Promise<void>[] = [];
  kills = 0;
  stops = 0;

  constructor(starts: Starts) {
    this.#starts = starts;
  }

  /** Runs a command, however it ends. @param more settings of it */
  async run(args: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<Ended> {
    const { settings, trap, end } = await this.#starts.next();
    let running: Running | undefined;
    const ended = await stowage(args, { ...settings, ...more }, (child) => {
      running = { child, trap };
      this.#running.add(running);
    });
    if (running !== undefined) this.#running.delete(running);
    // A request of it may be on its way for some time.
    this.#ending.push(end());
    return ended;
  }

  killOne(random: Random, longestMs: number): void {
    if (this.#running.size === 0) return;
    const { child, trap } = random.one([...this.#running]);
    trap.set(random, () => this.#signal(child, 'SIGKILL') && this.kills++, longestMs);
  }

  /** Stops one for some time. */
  freezeOne(random: Random, ms: number): void {
    if (this.#running.size === 0) return;
    const { child, trap } = random.one([...this.#running]);
    trap.set(
      random,
      () => {
        if (!this.#signal(child, 'SIGSTOP')) return;
        this.stops++;
        setTimeout(() => child.kill('SIGCONT'), ms).unref();
      },
      ms,
    );
  }

  thawAll(): void {
    for (const { child } of this.#running) child.kill('SIGCONT');
  }

  /** Until no request is on its way of those that have ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#ending);
  }

  /** @returns whether it was still there */
  #signal(child: ChildProcess, signal: NodeJS.Signals): boolean {
    return child.exitCode === null && child.kill(signal);
  }
}
