import callbacks from 'node:fs';
import fs, { type FileHandle } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { mock } from 'node:test';

type Done<T = void> = (error: Error | null, result?: T) => void;
type Call = (...args: unknown[]) => unknown;

/**
 * What a power cut leaves of what was not synced: all but the bytes of uploads, in place of which are zeros, or nothing. In between
 * are sessions with damage, which are tested of themselves.
 */
export const leftovers = ['zeros in parts', 'neither bytes nor entries'] as const;
export type Leftover = (typeof leftovers)[number];

/** A change of a folder's entries that was not synced. */
interface Entry {
  readonly folder: number;
  undo(at: (path: string) => string): void;
}

/**
 * Records what is written to a folder until the power is cut at one of the calls that change or sync it: this call and all later ones
 * fail and do nothing. `datasync` only asks the disk to begin, so it is taken for never done. All mocks must be restored afterwards.
 */
export class PowerCut {
  readonly #root: string;
  readonly #spare: string;
  #left: number;
  #calls = 0;
  /** Bytes that are synced of files with others, by inode. */
  readonly #synced = new Map<number, number>();
  #entries: Entry[] = [];

  /**
   * @param spare a folder on the same file system, for what may come back
   * @param calls that succeed
   */
  static async after(calls: number, root: string, spare: string): Promise<PowerCut> {
    const cut = new PowerCut(calls, root, spare);
    cut.#mockPromises();
    cut.#mockCallbacks();
    await cut.#mockHandles();
    return cut;
  }

  private constructor(calls: number, root: string, spare: string) {
    this.#left = calls;
    this.#root = root;
    this.#spare = spare;
  }

  get happened(): boolean {
    return this.#left < 0;
  }

  /** The files with bytes that are not synced. */
  unsyncedFiles(): string[] {
    return filesBelow(this.#root).filter((path) => {
      const { ino, size } = callbacks.lstatSync(path);
      return (this.#synced.get(ino) ?? size) < size;
    });
  }

  /** Copies the folder as the power cut leaves it. */
  leave(leftover: Leftover, copy: string): void {
    callbacks.cpSync(this.#root, copy, { recursive: true });
    const at = (path: string) => join(copy, relative(this.#root, path));
    for (const path of filesBelow(this.#root)) {
      const { ino, size } = callbacks.lstatSync(path);
      const synced = this.#synced.get(ino);
      if (synced === undefined) continue;
      const isPart = path.includes('/.tmp/multipart/') && !path.endsWith('/upload');
      if (leftover === 'zeros in parts' && !isPart && !path.includes('/blobs/')) continue;
      callbacks.truncateSync(at(path), Math.min(synced, size));
      if (leftover === 'zeros in parts') callbacks.truncateSync(at(path), size);
    }
    if (leftover !== 'neither bytes nor entries') return;
    for (const entry of this.#entries.toReversed())
      try {
        entry.undo(at);
      } catch (error) {
        // Undone with its folder, or removed meanwhile.
        if (!['ENOENT', 'ENOTDIR', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? ''))
          throw error;
      }
  }

  /** @throws if there is no power any more */
  #step(): void {
    this.#calls += 1;
    if (this.#left > 0) this.#left -= 1;
    else this.#left = -1;
    if (this.happened) throw new Error(`the power was cut before call ${this.#calls}`);
  }

  #changed(path: string, undo: Entry['undo']): void {
    this.#entries.push({ folder: callbacks.statSync(dirname(path)).ino, undo });
  }

  #created(path: string): void {
    this.#changed(path, (at) => {
      callbacks.rmSync(at(path), { recursive: true });
    });
  }

  /** Keeps a file that is replaced or removed. */
  #spareOf(path: string): string | undefined {
    const spare = join(this.#spare, `${this.#calls}`);
    try {
      callbacks.linkSync(path, spare);
      return spare;
    } catch {
      return undefined;
    }
  }

  #renaming(from: string, to: string): () => void {
    const replaced = this.#spareOf(to);
    return () => {
      this.#changed(to, (at) => {
        callbacks.renameSync(at(to), at(from));
        if (replaced !== undefined) callbacks.copyFileSync(replaced, at(to));
      });
    };
  }

  #removing(path: string): () => void {
    const removed = this.#spareOf(path);
    return () => {
      this.#changed(path, (at) => {
        if (removed !== undefined) callbacks.copyFileSync(removed, at(path));
      });
    };
  }

  /** Notes that a file gets bytes. */
  #writes(stats: callbacks.Stats): void {
    if (!this.#synced.has(stats.ino)) this.#synced.set(stats.ino, stats.size);
  }

  #syncs({ ino, size }: callbacks.Stats): () => void {
    const entries = new Set(this.#entries);
    return () => {
      this.#entries = this.#entries.filter((entry) => entry.folder !== ino || !entries.has(entry));
      if (!this.#synced.has(ino)) return;
      this.#synced.set(ino, size);
    };
  }

  /** Mocks a function of node:fs/promises. @param before what is to be noted, and then after it */
  #promise(name: 'rename' | 'link' | 'unlink' | 'rmdir' | 'mkdir' | 'writeFile' | 'rm', before: Call): void {
    const real = fs[name] as (...args: unknown[]) => Promise<unknown>;
    mock.method(fs, name, async (...args: unknown[]) => {
      this.#step();
      const after = before(...args) as (() => void) | undefined;
      const result = await real(...args);
      after?.();
      return result;
    });
  }

  #mockPromises(): void {
    const create = (path: unknown) => () => {
      this.#created(path as string);
    };
    this.#promise('rename', (from, to) => this.#renaming(from as string, to as string));
    this.#promise('link', (_, to) => create(to));
    this.#promise('unlink', (path) => this.#removing(path as string));
    this.#promise('rm', () => undefined);
    this.#promise('rmdir', () => undefined);
    this.#promise('mkdir', (path) => (callbacks.existsSync(path as string) ? undefined : create(path)));
    this.#promise('writeFile', (path, _, options) => () => {
      create(path)();
      const isSynced = (options as { flush?: boolean } | undefined)?.flush === true;
      const { ino } = callbacks.statSync(path as string);
      if (!isSynced) this.#synced.set(ino, 0);
    });
    const { open } = fs;
    mock.method(fs, 'open', async (path: string, flags?: string) => {
      if (flags === 'wx') this.#step();
      const handle = await open(path, flags);
      if (flags === 'wx') this.#created(path);
      return handle;
    });
  }

  /** Mocks a function of node:fs. @param before as above */
  #callback(name: 'rename' | 'unlink' | 'mkdir' | 'rmdir' | 'write' | 'fsync', before: Call): void {
    const real = callbacks[name] as Call;
    mock.method(callbacks, name, (...args: unknown[]) => {
      const done = args.at(-1) as Done<unknown>;
      try {
        this.#step();
      } catch (error) {
        process.nextTick(done, error);
        return;
      }
      const after = before(...args) as (() => void) | undefined;
      real(...args.slice(0, -1), (error: Error | null, result: unknown) => {
        if (error === null) after?.();
        done(error, result);
      });
    });
  }

  #mockCallbacks(): void {
    this.#callback('rename', (from, to) => this.#renaming(from as string, to as string));
    this.#callback('unlink', (path) => this.#removing(path as string));
    this.#callback('rmdir', () => undefined);
    this.#callback('mkdir', (path) => () => {
      this.#created(path as string);
    });
    this.#callback('write', (file) => {
      this.#writes(callbacks.fstatSync(file as number));
    });
    this.#callback('fsync', (file) => this.#syncs(callbacks.fstatSync(file as number)));
    const { open } = callbacks;
    mock.method(callbacks, 'open', (path: string, flags: number | string, done: Done<number>) => {
      open(path, flags, (error, file) => {
        if (error === null && flags === 'wx') this.#created(path);
        done(error, file);
      });
    });
  }

  async #mockHandles(): Promise<void> {
    const probe = await fs.open(this.#root);
    const prototype = Object.getPrototypeOf(probe) as FileHandle;
    await probe.close();
    const step = () => {
      this.#step();
    };
    const [writes, syncs] = [this.#writes.bind(this), this.#syncs.bind(this)];
    const mocked = (name: 'write' | 'sync', before: (stats: callbacks.Stats) => unknown) => {
      const real = Reflect.get(prototype, name) as (this: FileHandle, ...args: unknown[]) => Promise<unknown>;
      mock.method(prototype, name, async function (this: FileHandle, ...args: unknown[]) {
        step();
        const after = before(callbacks.fstatSync(this.fd)) as (() => void) | undefined;
        const result = await real.apply(this, args);
        after?.();
        return result;
      });
    };
    mocked('write', writes);
    mocked('sync', syncs);
  }
}

function filesBelow(folder: string): string[] {
  return callbacks
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
