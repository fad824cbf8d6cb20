import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { atExit } from '../servers/cleanup.ts';
import { cleanEnvironment, command } from '../servers/process.ts';

/** What the load generator prints; see load/measure.go. */
export interface LoadResult {
  readonly seconds: number;
  readonly count: number;
  readonly bytes: number;
  /** Seconds of the registry's processes, and of the client. */
  readonly serverCpu: number;
  readonly clientCpu: number;
}

/** The digests of an image that was pushed. */
export interface Seeded {
  readonly manifest: string;
  readonly config: string;
  readonly layer: string;
}

/** The client, which load/ has the source of: it is in Go, so that it takes little of the machine. */
export class Generator {
  readonly #file: string;
  /** Core that it runs on; any when undefined. */
  readonly #core: number | undefined;

  constructor(file: string, core?: number) {
    this.#file = file;
    this.#core = core;
  }

  /** Builds it into a folder. Rejects where there is no Go. */
  static async build(folder: string): Promise<Generator> {
    const file = join(folder, 'load');
    const env = cleanEnvironment({ GOFLAGS: '-buildvcs=false', GOWORK: 'off' });
    await command('go', ['build', '-C', join(import.meta.dirname, 'load'), '-o', file, '.'], { env });
    return new Generator(file);
  }

  on(core: number | undefined): Generator {
    return new Generator(this.#file, core);
  }

  async run<T>(name: string, args: readonly string[]): Promise<T> {
    const [program, ...more] = onCore(this.#core, [this.#file, name, ...args]);
    const { text } = await command(program, more);
    return JSON.parse(text) as T;
  }

  /** Starts a load that stays. @returns a function that ends it */
  async hold(name: string, args: readonly string[]): Promise<() => Promise<void>> {
    const [program, ...more] = onCore(this.#core, [this.#file, name, ...args]);
    const child = spawn(program, more, { stdio: ['pipe', 'pipe', 'pipe'], env: cleanEnvironment() });
    const forget = atExit(() => {
      child.kill('SIGKILL');
    });
    const exit = once(child, 'exit').finally(forget);
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    const ready = once(createInterface({ input: child.stdout }), 'line').then(() => true);
    if (!(await Promise.race([ready, exit.then(() => false)]))) throw new Error(errors.trim());
    return async () => {
      child.stdin.end();
      await exit;
    };
  }
}

/** A command line that runs on one core, or on any. */
export function onCore(
  core: number | undefined,
  line: readonly [string, ...string[]],
): readonly [string, ...string[]] {
  return core === undefined ? line : ['taskset', '--cpu-list', String(core), ...line];
}
