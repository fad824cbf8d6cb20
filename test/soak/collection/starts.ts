import type { TestStorage } from '../../servers/storage.ts';
import type { Ground } from '../grounds.ts';
import type { Clocks } from './clocks.ts';
import { collectionSettings } from './settings.ts';
import { Trap } from './trap.ts';

/** What a process is started with, and where it can be caught. */
export interface Start {
  readonly settings: Readonly<Record<string, string>>;
  readonly trap: Trap;
  /** After the process has ended. */
  readonly end: () => Promise<void>;
}

/** Starts of the processes of a round: each has a clock of its own and, where processes are harmed, a way of its own to the bucket. */
export class Starts {
  readonly #ground: Ground;
  readonly #storage: TestStorage;
  readonly #clocks: Clocks;
  readonly #isHarmed: boolean;

  constructor(ground: Ground, storage: TestStorage, clocks: Clocks, isHarmed: boolean) {
    this.#ground = ground;
    this.#storage = storage;
    this.#clocks = clocks;
    this.#isHarmed = isHarmed;
  }

  async next(): Promise<Start> {
    const { route } = this.#ground;
    const seesRequests = this.#isHarmed && route !== undefined;
    const trap = new Trap(seesRequests);
    const own = seesRequests ? await route(this.#storage, trap.intercept) : undefined;
    const { settings } = own ?? this.#storage;
    return {
      settings: { ...settings, ...collectionSettings, ...this.#clocks.settings() },
      trap,
      end: async () => {
        trap.remove();
        await own?.stop();
      },
    };
  }
}
