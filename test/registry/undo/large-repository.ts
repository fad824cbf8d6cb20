/* node large-repository.ts [OBJECTS]: deletes and restores a simulated repository of links to layers, and prints requests and memory. */
import { hash } from 'node:crypto';
import { parseRepositoryName } from '../../../lib/protocol/names.ts';
import { digestFrom, type Digest } from '../../../lib/protocol/digests.ts';
import { deletedPrefix, layerLink, parseBlobData, repositoryPrefix } from '../../../lib/registry/layout.ts';
import { deleteRepository } from '../../../lib/registry/undo/delete-repository.ts';
import { restoreRepository } from '../../../lib/registry/undo/restore-repository.ts';
import { FilesystemStore } from '../../../lib/storage/filesystem/store.ts';
import {
  ObjectNotFound,
  type Listing,
  type ListOptions,
  type ObjectHead,
  type ObjectInfo,
  type PutOptions,
} from '../../../lib/storage/store.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { MemoryStore } from '../memory-store.ts';

const name = parseRepositoryName('team/app');
const prefixOfAll = repositoryPrefix(name);

/** A repository whose links exist only as they are listed. Links go and come in their order, so that two numbers tell which are there. */
class LargeRepository extends MemoryStore {
  readonly #records: FilesystemStore;
  /** Those from the first to the end are there. */
  #first = 0;
  #end: number;
  readonly requests = { list: 0, get: 0, put: 0, delete: 0 };

  constructor(records: FilesystemStore, count: number) {
    super({ conditionalWrites: true });
    this.#records = records;
    this.#end = count;
  }

  override async list(options: ListOptions): Promise<Listing> {
    this.requests.list += 1;
    const { prefix = '', startAfter = '', limit = 1000 } = options;
    if (prefix.startsWith(deletedPrefix)) return await this.#records.list(options);
    if (!linkAt(0).startsWith(prefix) && !prefix.startsWith(`${prefixOfAll}layers/`))
      return { objects: [], prefixes: [], next: undefined };
    const from = Math.max(this.#first, firstAfter(startAfter));
    const objects: ObjectInfo[] = [];
    for (let i = from; i < this.#end && objects.length < limit; i++)
      if (linkAt(i).startsWith(prefix)) objects.push(infoAt(i));
    const last = objects.at(-1)?.key;
    return { objects, prefixes: [], next: objects.length === limit ? last : undefined };
  }

  override async head(key: string): Promise<ObjectHead> {
    this.requests.get += 1;
    if (key.startsWith(deletedPrefix)) return await this.#records.head(key);
    if (parseBlobData(key) === undefined) throw new ObjectNotFound(key);
    return { ...infoAt(0), key, metadata: {} };
  }

  override async read(key: string, limit: number): ReturnType<MemoryStore['read']> {
    this.requests.get += 1;
    return { ...(await this.#records.read(key, limit)), metadata: {} };
  }

  override async put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<ObjectInfo> {
    this.requests.put += 1;
    if (key.startsWith(deletedPrefix)) return await this.#records.put(key, bytes, options);
    if (this.#first === this.#end) [this.#first, this.#end] = [0, 0];
    this.#end = Math.max(this.#end, firstAfter(key));
    return infoAt(0);
  }

  override async delete(keys: readonly string[]): Promise<void> {
    this.requests.delete += 1;
    this.#first += keys.length;
    await Promise.resolve();
  }
}

function digestAt(i: number): Digest {
  return digestFrom('sha256', i.toString(16).padStart(64, '0'));
}

function linkAt(i: number): string {
  return layerLink(name, digestAt(i));
}

function infoAt(i: number): ObjectInfo {
  const etag = hash('md5', digestAt(i));
  return { key: linkAt(i), size: digestAt(i).length, lastModified: new Date(0), etag };
}

/** The number of the first link after a key. */
function firstAfter(key: string): number {
  const [hex] = /[0-9a-f]{64}/.exec(key) ?? [];
  if (hex === undefined) return 0;
  return Number.parseInt(hex, 16) + (key.endsWith('/link') ? 1 : 0);
}

const count = Number(process.argv[2] ?? 60_000);
const folder = await temporaryFolder('large');
try {
  const store = new LargeRepository(await FilesystemStore.open(folder.path), count);
  for (const [what, work] of [
    ['delete', deleteRepository],
    ['restore', restoreRepository],
  ] as const) {
    Object.assign(store.requests, { list: 0, get: 0, put: 0, delete: 0 });
    const { layers } = await work(store, name);
    const peakMegabytes = Math.round(process.resourceUsage().maxRSS / 1024);
    console.log(JSON.stringify({ what, layers, ...store.requests, peakMegabytes }));
  }
} finally {
  folder.remove();
}
