import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';

/** A program that runs beside this one. */
export interface Program {
  /** As it is named in messages. */
  readonly name: string;
  /** Of node. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Whether what it writes to standard error before {@link Children.ready} is printed only if it ends before. */
  readonly quiet?: boolean;
}

/**
 * The processes of this command. Each is the leader of a group of its own, so that Ctrl-C reaches this process alone, which
 * lets requests finish before it ends them.
 */
export class Children {
  readonly #cwd: string;
  readonly #running = new Set<ChildProcess>();
  /** What was held back of each. */
  readonly #held = new Map<ChildProcess, Buffer[]>();
  #isReady = false;
  #isStopping = false;

  constructor(cwd: string) {
    this.#cwd = cwd;
  }

  /** @returns its exit code, or the signal that ended it */
  async run(program: Program): Promise<number | NodeJS.Signals> {
    const child = this.#spawn(program);
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    return signal ?? code ?? 1;
  }

  /** @param onEnd is called if it ends before this process stops */
  start(program: Program, onEnd: (message: string) => void): void {
    const child = this.#spawn(program);
    child.once('exit', (code, signal) => {
      if (this.#isStopping) return;
      this.#printHeld(child);
      onEnd(`The ${program.name} ended unexpectedly (${signal ?? `exit code ${String(code)}`}).`);
    });
  }

  /** From now on all that they write to standard error is printed. */
  ready(): void {
    this.#isReady = true;
    this.#held.clear();
  }

  /** Ends them: with SIGINT, and with SIGKILL after the timeout. Their last words are not printed. */
  async stop(timeoutMs: number): Promise<void> {
    this.#isStopping = true;
    const all = [...this.#running];
    const ended = all.map(async (child) => {
      await once(child, 'exit');
    });
    for (const child of all) child.kill('SIGINT');
    await Promise.race([Promise.all(ended), delay(timeoutMs)]);
    for (const child of all) child.kill('SIGKILL');
  }

  #spawn({ args, env, quiet = false }: Program): ChildProcess {
    const child = spawn(process.execPath, ['--import', './infra/offline/end-with-parent.ts', ...args], {
      cwd: this.#cwd,
      env,
      detached: true,
      // The channel closes when this process ends, however it does.
      stdio: ['ignore', 'inherit', quiet ? 'pipe' : 'inherit', 'ipc'],
    });
    this.#running.add(child);
    child.once('exit', () => this.#running.delete(child));
    child.stderr?.on('data', (bytes: Buffer) => {
      this.#print(child, bytes);
    });
    return child;
  }

  #print(child: ChildProcess, bytes: Buffer): void {
    if (this.#isStopping) return;
    if (this.#isReady) process.stderr.write(bytes);
    else this.#held.set(child, [...(this.#held.get(child) ?? []), bytes]);
  }

  #printHeld(child: ChildProcess): void {
    process.stderr.write(Buffer.concat(this.#held.get(child) ?? []));
    this.#held.delete(child);
  }
}
