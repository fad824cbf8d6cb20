import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../random.ts';
import type { Commands, Ended } from './commands.ts';

/** What collections did, as they have printed it: nothing of those that were killed. */
export interface Figures {
  collections: number;
  /** Bytes of blobs. */
  condemnedBytes: number;
  deletedBytes: number;
  /** Blobs and manifests that were condemned and stayed, since a client needed or pushed them again. */
  rescued: number;
}

/** What `stowage gc --json` prints, as far as it counts here; without deletions it has only a part. */
interface Printed {
  readonly deleted?: { readonly bytes: number };
  readonly left?: { readonly needed: number; readonly renewed: number; readonly rescued: number };
  readonly condemned?: object | null;
  readonly found?: { readonly freed: { readonly bytes: number } } | null;
}

/** `stowage gc`, again and again, several at a time. */
export class Collections {
  readonly #commands: Commands;
  readonly #args: readonly string[];
  readonly figures: Figures = { collections: 0, condemnedBytes: 0, deletedBytes: 0, rescued: 0 };

  /** @param args of the command */
  constructor(commands: Commands, args: readonly string[]) {
    this.#commands = commands;
    this.#args = args;
  }

  /** One after the other, until a signal. @param assertEnd throws at an end that may not be */
  async loop(signal: AbortSignal, random: Random, assertEnd: (ended: Ended) => void): Promise<void> {
    while (!signal.aborted) {
      assertEnd(await this.run());
      await delay(random.below(1500));
    }
  }

  async run(): Promise<Ended> {
    const ended = await this.#commands.run(['gc', ...this.#args]);
    this.#count(ended);
    return ended;
  }

  #count({ code, output }: Ended): void {
    this.figures.collections++;
    if (code !== 0) return;
    const { deleted, left, condemned, found } = JSON.parse(output) as Printed;
    this.figures.deletedBytes += deleted?.bytes ?? 0;
    if (left !== undefined) this.figures.rescued += left.needed + left.renewed + left.rescued;
    if (condemned) this.figures.condemnedBytes += found?.freed.bytes ?? 0;
  }
}

/** Only the kills of this test, and a bucket that fails, may end a collection early; and a machine too busy for short fences. */
export function assertOrderly({ code, signal, output, errors }: Ended, isHarmed = false): void {
  const isOrderly = code === 0 || (code === 1 && errors.includes('came too late'));
  const isExcused = isHarmed && (signal === 'SIGKILL' || code === 1);
  assert.ok(isOrderly || isExcused, `a collection ended with ${signal ?? code}:\n${errors}\n${output}`);
}

/** Of a store where nothing can be deleted safely. */
export function assertRefused({ code, signal, errors }: Ended, isHarmed = false): void {
  const isExcused = isHarmed && (signal === 'SIGKILL' || code === 1);
  assert.ok(
    isExcused || (code === 1 && errors.includes('nothing is deleted in this storage')),
    `a collection was not refused, but ended with ${signal ?? code}:\n${errors}`,
  );
}
