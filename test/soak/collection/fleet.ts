import { randomBytes } from 'node:crypto';
import { serve, type Stowage } from '../../servers/stowage.ts';
import type { Random } from '../random.ts';
import type { Endpoint } from './client.ts';
import type { Start, Starts } from './starts.ts';

/** An instance that can be stopped and goes on later. */
class Instance implements Endpoint {
  readonly stowage: Stowage;
  readonly start: Start;
  #lost = new AbortController();
  isStopped = false;
  isDead = false;

  constructor(stowage: Stowage, start: Start) {
    this.stowage = stowage;
    this.start = start;
  }

  get url(): string {
    return `http://${this.stowage.address}`;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  freeze(): void {
    if (this.isDead) return;
    process.kill(this.stowage.pid, 'SIGSTOP');
    this.isStopped = true;
    this.#lost.abort();
  }

  thaw(): void {
    if (!this.isStopped || this.isDead) return;
    process.kill(this.stowage.pid, 'SIGCONT');
    this.isStopped = false;
    this.#lost = new AbortController();
  }

  async kill(): Promise<void> {
    this.isDead = true;
    this.#lost.abort();
    await this.stowage.kill();
  }

  async stop(): Promise<void> {
    if (this.isDead) return;
    await this.stowage.stop();
    await this.start.end();
  }
}

/** Instances of the registry on one storage. */
export class Fleet {
  readonly #starts: Starts;
  readonly #secret = randomBytes(16).toString('hex');
  #running: Instance[] = [];
  readonly #dying: Promise<void>[] = [];
  kills = 0;
  stops = 0;

  constructor(starts: Starts) {
    this.#starts = starts;
  }

  /** Those that take requests: what a load balancer knows. */
  readonly endpoints = (): readonly Endpoint[] => this.#serving();

  /** What those that run have logged: their errors. */
  get output(): string {
    return this.#running.map(({ stowage }) => stowage.output()).join('');
  }

  async start(size: number): Promise<void> {
    this.#running = await Promise.all(Array.from({ length: size }, async () => await this.#serve()));
  }

  /** Kills an instance, which may be a stopped one, once another is there to replace it. */
  async replaceOne(random: Random, longestMs: number): Promise<void> {
    const next = await this.#serve();
    const alive = this.#running.filter(({ isDead }) => !isDead);
    this.#running = [...alive, next];
    const old = random.one(alive);
    const kill = async () => {
      // Something must be left to take requests.
      if (this.#serving().every((one) => one === old)) this.thawAll();
      this.kills++;
      try {
        await old.kill();
      } finally {
        await old.start.end();
      }
    };
    old.start.trap.set(
      random,
      () => {
        const dying = kill();
        dying.catch(() => undefined);
        this.#dying.push(dying);
      },
      longestMs,
    );
  }

  /** Stops an instance for some time, unless it is the last that runs. */
  freezeOne(random: Random, ms: number): void {
    if (this.#serving().length < 2) return;
    const one = random.one(this.#serving());
    one.start.trap.set(
      random,
      () => {
        if (this.#serving().length < 2) return;
        one.freeze();
        this.stops++;
        setTimeout(() => {
          one.thaw();
        }, ms).unref();
      },
      ms,
    );
  }

  thawAll(): void {
    for (const one of this.#running) one.thaw();
  }

  /** Until no request is on its way of those that were killed. */
  async settled(): Promise<void> {
    await Promise.all(this.#dying);
  }

  async stop(): Promise<void> {
    this.thawAll();
    await Promise.all(
      this.#running.map(async (one) => {
        await one.stop();
      }),
    );
    await this.settled();
  }

  #serving(): readonly Instance[] {
    return this.#running.filter(({ isStopped, isDead }) => !isStopped && !isDead);
  }

  async #serve(): Promise<Instance> {
    const start = await this.#starts.next();
    const stowage = await serve(start.settings, {
      REGISTRY_HTTP_SECRET: this.#secret,
      REGISTRY_STORAGE_DELETE_ENABLED: 'true',
      // So that the bytes of pulls pass through it.
      REGISTRY_STORAGE_REDIRECT_DISABLE: 'true',
      REGISTRY_LOG_LEVEL: 'error',
    });
    return new Instance(stowage, start);
  }
}
