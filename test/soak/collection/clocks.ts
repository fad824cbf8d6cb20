import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder, type Folder } from '../../servers/folder.ts';
import type { Random } from '../random.ts';

/** The clocks of processes, each moved by up to some seconds. */
export class Clocks {
  readonly #random: Random;
  readonly #folder: Folder;
  readonly #files: string[] = [];
  #seconds: number;

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

  /** Processes that start from now on have the clock of this machine. */
  stop(): void {
    this.#seconds = 0;
  }

  remove(): void {
    this.#folder.remove();
  }

  #set(file: string): void {
    writeFileSync(file, String(this.#random.below(2 * this.#seconds) - this.#seconds));
  }
}
