import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { temporaryFolder, type Folder } from '../../servers/folder.ts';
import { serve, type Stowage } from '../../servers/stowage.ts';
import type { TestStorage } from '../../servers/storage.ts';
import type { Random } from '../random.ts';
import type { Endpoint } from './client.ts';
import { collectionSettings } from './settings.ts';

/** The clocks of processes, each moved by up to some seconds. */
export class Clocks {
  readonly #random: Random;
  readonly #folder: Folder;
  readonly #files: string[] = [];
  readonly #seconds: number;

  static async create(random: Random, seconds: number): Promise<Clocks> {
    return new Clocks(random, seconds, await temporaryFolder('clocks'));
  }

  private constructor(random: Random, seconds: number, folder: Folder) {
    this.#random = random;
    this.#seconds = seconds;
    this.#folder = folder;
  }

  /** What a process reads to have a clock of its own. */
  settings(): Record<string, string> {
    if (this.#seconds === 0) return {};
    const file = join(this.#folder.path, `${this.#files.length}`);
    this.#set(file);
    this.#files.push(file);
    const preload = new URL('../../servers/moved-clock.ts', import.meta.url).href;
    return { NODE_OPTIONS: `--import=${preload}`, STOWAGE_TEST_CLOCK: file };
  }

  /** Moves the clock of some process that may run. */
  moveOne(): void {
    const recent = this.#files.slice(-8);
    if (recent.length > 0) this.#set(this.#random.one(recent));
  }

  remove(): void {
    this.#folder.remove();
  }

  #set(file: string): void {
    writeFileSync(file, String(this.#random.below(2 * this.#seconds) - this.#seconds));
  }
}

/** An instance that can be stopped and goes on later. */
class Instance implements Endpoint {
  readonly stowage: Stowage;
  #lost = new AbortController();
  isStopped = false;

  constructor(stowage: Stowage) {
    this.stowage = stowage;
  }

  get url(): string {
    return `http://${this.stowage.address}`;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  freeze(): void {
    process.kill(this.stowage.pid, 'SIGSTOP');
    this.isStopped = true;
    this.#lost.abort();
  }

  thaw(): void {
    if (!this.isStopped) return;
    process.kill(this.stowage.pid, 'SIGCONT');
    this.isStopped = false;
    this.#lost = new AbortController();
  }

  async kill(): Promise<void> {
    this.#lost.abort();
    await this.stowage.kill();
  }
}

/** Instances of the registry on one storage. */
export class Fleet {
  readonly #settings: TestStorage['settings'];
  readonly #clocks: Clocks;
  readonly #secret = randomBytes(16).toString('hex');
  #running: Instance[] = [];
  kills = 0;
  stops = 0;

  constructor(settings: TestStorage['settings'], clocks: Clocks) {
    this.#settings = settings;
    this.#clocks = clocks;
  }

  /** Those that take requests: what a load balancer knows. */
  readonly endpoints = (): readonly Endpoint[] => this.#running.filter(({ isStopped }) => !isStopped);

  /** What those that run have logged: their errors. */
  get output(): string {
    return this.#running.map(({ stowage }) => stowage.output()).join('');
  }

  async start(size: number): Promise<void> {
    this.#running = await Promise.all(Array.from({ length: size }, async () => await this.#serve()));
  }

  /** Kills an instance, which may be a stopped one, once another has replaced it. */
  async replaceOne(random: Random): Promise<void> {
    const next = await this.#serve();
    const old = random.one(this.#running);
    this.#running = this.#running.map((one) => (one === old ? next : one));
    this.kills++;
    await old.kill();
  }

  /** Stops an instance for some time, unless it is the last that runs. */
  async freezeOne(random: Random, ms: number): Promise<void> {
    const running = this.#running.filter(({ isStopped }) => !isStopped);
    if (running.length < 2) return;
    const one = random.one(running);
    one.freeze();
    this.stops++;
    await delay(ms);
    if (this.#running.includes(one)) one.thaw();
  }

  thawAll(): void {
    for (const one of this.#running) one.thaw();
  }

  async stop(): Promise<void> {
    this.thawAll();
    await Promise.all(
      this.#running.map(async ({ stowage }) => {
        await stowage.stop();
      }),
    );
  }

  async #serve(): Promise<Instance> {
    return new Instance(
      await serve(this.#settings, {
        ...collectionSettings,
        ...this.#clocks.settings(),
        REGISTRY_HTTP_SECRET: this.#secret,
        REGISTRY_STORAGE_DELETE_ENABLED: 'true',
        // So that the bytes of pulls pass through it.
        REGISTRY_STORAGE_REDIRECT_DISABLE: 'true',
        REGISTRY_LOG_LEVEL: 'error',
      }),
    );
  }
}
