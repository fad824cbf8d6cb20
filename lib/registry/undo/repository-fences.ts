import { setTimeout as sleep } from 'node:timers/promises';
import type { Fencing, ObjectStore } from '../../storage/store.ts';
import type { RepositoryDeletion, RepositoryRecords } from './repository-records.ts';

/** Called before a wait for changes that may still land. @param ms how long it is */
export type OnWait = (ms: number) => void;

/** Whether a record may be acted on. Asked after what was written before is in the bucket. */
export type IsCurrent = () => Promise<boolean>;

/** Limits when the changes of deletes and restores of whole repositories can land, where the store enforces that. */
export class RepositoryFences {
  readonly #store: ObjectStore;
  readonly #fencing: Fencing | undefined;
  readonly #onWait: OnWait;

  private constructor(store: ObjectStore, fencing: Fencing | undefined, onWait: OnWait) {
    this.#store = store;
    this.#fencing = fencing;
    this.#onWait = onWait;
  }

  static async open(store: ObjectStore, onWait: OnWait = () => undefined): Promise<RepositoryFences> {
    const { fencing } = store;
    const isEnforced = fencing !== undefined && (await fencing.refusal()) === undefined;
    return new RepositoryFences(store, isEnforced ? fencing : undefined, onWait);
  }

  /** Whether the store refuses late changes. */
  get areEnforced(): boolean {
    return this.#fencing !== undefined;
  }

  /**
   * Deletes objects that a part of a record has. The part is written first, and the check comes after it.
   * @returns whether the check holds. It is repeated where nothing limits the delete, and then something may have gone all the same.
   * @throws FenceEnded if another process has ended it
   */
  async delete(
    part: { readonly key: string; readonly bytes: Buffer },
    keys: readonly string[],
    isCurrent: IsCurrent,
  ): Promise<boolean> {
    if (this.#fencing === undefined) {
      await this.#store.put(part.key, part.bytes);
      if (!(await isCurrent())) return false;
      await this.#store.delete(keys);
      return await isCurrent();
    }
    const fence = await this.#fencing.openDeletion(part);
    try {
      if (!(await isCurrent())) return false;
      await this.#store.delete(keys, { fence });
      return true;
    } finally {
      // What was sent has landed, or others wait for it.
      await this.#fencing.endDeletion({ key: part.key, lastModified: fence.opened });
    }
  }

  /** Waits until no delete under some records can land any more, however long its process was stopped. */
  async endDeletes(records: RepositoryRecords, some: readonly RepositoryDeletion[]): Promise<void> {
    if (this.#fencing === undefined) return;
    let ms = 0;
    for (const record of some.filter(({ isFinished }) => !isFinished))
      for await (const part of records.listParts(record))
        ms = Math.max(ms, await this.#fencing.endDeletion(part));
    await this.#wait(ms);
  }

  /** Waits until no push can land any more that has begun before. @returns whether the store enforces that */
  async endPushes(): Promise<boolean> {
    if (this.#fencing === undefined) return false;
    await this.#wait(await this.#fencing.end());
    return true;
  }

  async #wait(ms: number): Promise<void> {
    if (ms <= 0) return;
    this.#onWait(ms);
    await sleep(ms);
  }
}
