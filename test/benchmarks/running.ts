import { readFile } from 'node:fs/promises';
import type { BucketProxy } from '../servers/bucket-proxy.ts';
import { peakMemory, treeMemory } from '../servers/memory.ts';
import { freePort } from '../servers/ports.ts';
import { command, launch, type Server } from '../servers/process.ts';
import { serves } from '../servers/registry.ts';
import type { Contender, Start } from './contenders.ts';
import { onCore, type Generator } from './generator.ts';
import type { Place } from './place.ts';

/** What a registry of a row runs with. */
interface Setup {
  readonly contender: Contender;
  readonly place: Place;
  /** For its configuration. */
  readonly folder: string;
  readonly generator: Generator;
  readonly proxy?: BucketProxy | undefined;
  /** Core that it runs on; any when undefined. */
  readonly core?: number | undefined;
  readonly workers?: number | undefined;
}

/** How often memory is looked at. */
const WATCHED_EVERY_MS = 100;

/** A registry that runs to be measured. */
export class Running {
  readonly contender: Contender;
  readonly place: Place;
  readonly proxy: BucketProxy | undefined;
  readonly #setup: Setup;
  #address = '';
  #server: Server | undefined;

  private constructor(setup: Setup) {
    this.contender = setup.contender;
    this.place = setup.place;
    this.proxy = setup.proxy;
    this.#setup = setup;
  }

  static async start(setup: Setup): Promise<Running> {
    const running = new Running(setup);
    await running.#start();
    return running;
  }

  get url(): string {
    return `http://${this.#address}`;
  }

  get #pid(): number {
    return this.#server?.pid ?? 0;
  }

  /** Runs a command of the load generator against it. */
  async load<T>(name: string, flags: Readonly<Record<string, string | number | boolean>> = {}): Promise<T> {
    return await this.#setup.generator.run<T>(name, this.#flags(flags));
  }

  /** Starts a load that stays. @returns a function that ends it */
  async hold(name: string, flags: Readonly<Record<string, string | number>>): Promise<() => Promise<void>> {
    return await this.#setup.generator.hold(name, this.#flags(flags));
  }

  #flags(flags: Readonly<Record<string, string | number | boolean>>): string[] {
    const all = { address: this.#address, pid: this.#pid, ...flags };
    return Object.entries(all).map(([name, value]) => `--${name}=${value}`);
  }

  /** Stops it, does something, and starts it again. */
  async restart(between: () => Promise<void>): Promise<void> {
    await this.stop();
    await between();
    await this.#start();
  }

  /** Bytes that its processes have in memory now; pages that they share count once. */
  async memory(): Promise<number> {
    return await treeMemory(this.#pid);
  }

  /** Does something. @returns the most bytes that its processes had in memory until its end */
  async peakDuring(act: () => Promise<unknown>): Promise<number> {
    let most = 0;
    const watch = async () => {
      most = Math.max(most, await this.memory().catch(() => 0));
    };
    const timer = setInterval(() => void watch(), WATCHED_EVERY_MS);
    try {
      await act();
    } finally {
      clearInterval(timer);
    }
    await watch();
    // The kernel knows the peak of one process exactly.
    const children = await readFile(`/proc/${this.#pid}/task/${this.#pid}/children`, 'utf8');
    return children.trim() === '' ? await peakMemory(this.#pid) : most;
  }

  /** Writes out what files of the place are still in memory alone, which another registry would wait for. */
  async flush(): Promise<void> {
    await command('sync', ['--file-system', this.place.folder]);
  }

  async stop(): Promise<void> {
    // At SIGTERM ours takes requests for some seconds more.
    await this.#server?.stop('SIGINT');
    this.#server = undefined;
  }

  async #start(): Promise<void> {
    const { contender, place, folder, workers, core } = this.#setup;
    this.#address = `127.0.0.1:${await freePort()}`;
    const start: Start = { place, folder, workers, address: this.#address };
    const { line, env } = await contender.program(start);
    const [program, ...args] = onCore(core, line);
    this.#server = await launch(program, args, async () => await serves(this.#address), { env });
  }
}
