import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import { basename, join } from 'node:path';

import { ignoring, unwritableCodes } from '../file-errors.ts';
import {
  StoreUnavailable,
  type Fence,
  type Fencing,
  type NewObject,
  type ObjectInfo,
  type ObjectStore,
} from '../store.ts';
import { rename } from './calls.ts';
import { FolderFence } from './fence.ts';
import { whyUnfenced } from './fence-refusal.ts';
import type { Folder } from './folder.ts';
import { fenceNumber, stagingParent } from './staging-names.ts';

/** What a staging folder that is ended is renamed to, before it is removed. */
const endedPrefix = 'ended-';

/**
 * Fences of a folder.
 *
 * ```
 * .tmp/fence-<number>-<random>/   the staging folder of commits: the one with the highest number, until it is ended
 * .tmp/deletion-<id>/             … of a deletion
 * .tmp/ended-…/                   one that is being removed
 * ```
 *
 * A rename from or to a staging folder fails from the time the folder is gone. Its own rename away fails most of them before, but not a call
 * that has found it already; so a fence has ended when the folder is empty and removed.
 */
export class FolderFencing implements Fencing {
  readonly #folder: Folder;
  readonly #parent: string;
  readonly #objects: Pick<ObjectStore, 'put' | 'list'>;

  constructor(folder: Folder, objects: Pick<ObjectStore, 'put' | 'list'>) {
    this.#folder = folder;
    this.#parent = stagingParent(folder);
    this.#objects = objects;
  }

  async open(prefix: string): Promise<{ readonly fence: Fence; readonly objects: readonly ObjectInfo[] }> {
    const opened = new Date();
    const staging = await this.#folder.guard(prefix, async () => await this.#current());
    const objects: ObjectInfo[] = [];
    for (let startAfter = ''; ;) {
      const page = await this.#objects.list({ prefix, startAfter });
      objects.push(...page.objects);
      if (page.next === undefined) break;
      startAfter = page.next;
    }
    return { fence: new FolderFence(opened, staging), objects };
  }

  /** The staging folder for commits. */
  async #current(): Promise<string | undefined> {
    const [mount] = this.#folder.mounts.all;
    if (mount?.temporary !== this.#parent) return undefined;
    return await ignoring(
      unwritableCodes,
      (async () => {
        await this.#folder.ensureTemporary(mount);
        const [newest] = await this.#fences();
        return newest === undefined ? await this.#make(1) : join(this.#parent, newest.name);
      })(),
    );
  }

  async end(): Promise<number> {
    await this.#folder.guard('', async () => {
      await this.#assertFenced();
      const fences = await this.#fences();
      await this.#make((fences[0]?.number ?? 0) + 1);
      for (const { name } of fences) await this.#end(name);
      // Of ends that were killed.
      for (const name of await fs.readdir(this.#parent))
        if (name.startsWith(`${endedPrefix}fence-`)) await remove(join(this.#parent, name));
    });
    return 0;
  }

  async openDeletion({ key, bytes }: Pick<NewObject, 'key' | 'bytes'>): Promise<Fence> {
    const staging = join(this.#parent, deletionName(key));
    return await this.#folder.guard(key, async () => {
      await this.#assertFenced();
      // Before the record, so that whoever finds that can end it.
      await fs.mkdir(staging);
      const opened = new Date();
      try {
        await this.#objects.put(key, bytes);
      } catch (error) {
        await remove(staging).catch(() => undefined);
        throw error;
      }
      return new FolderFence(opened, staging);
    });
  }

  async endDeletion({ key }: Pick<ObjectInfo, 'key'>): Promise<number> {
    await this.#folder.guard(key, async () => {
      await this.#end(deletionName(key));
      if (!(await this.#folder.isAvailable(this.#folder.root))) throw new Error('the folder is missing');
    });
    return 0;
  }

  async refusal(): Promise<string | undefined> {
    return await this.#folder.guard('', async () => await whyUnfenced(this.#folder));
  }

  async #assertFenced(): Promise<void> {
    const reason = await whyUnfenced(this.#folder);
    if (reason !== undefined) throw new StoreUnavailable('', reason);
  }

  /** The staging folders of commits, the newest first. */
  async #fences(): Promise<{ readonly name: string; readonly number: number }[]> {
    const names = await fs.readdir(this.#parent);
    return names
      .flatMap((name) => {
        const number = fenceNumber(name);
        return number === undefined ? [] : [{ name, number }];
      })
      .sort((a, b) => b.number - a.number);
  }

  async #make(number: number): Promise<string> {
    const path = join(this.#parent, `fence-${number}-${randomBytes(4).toString('hex')}`);
    await fs.mkdir(path);
    return path;
  }

  async #end(name: string): Promise<void> {
    const ended = join(this.#parent, `${endedPrefix}${name}`);
    await ignoring(['ENOENT'], rename(join(this.#parent, name), ended));
    await remove(ended);
  }
}

function deletionName(key: string): string {
  return `deletion-${basename(key)}`;
}

/** A call that was under way may still add a file. */
async function remove(path: string): Promise<void> {
  await fs.rm(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 10 });
}
