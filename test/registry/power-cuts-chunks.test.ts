/** Power cuts while a blob is pushed to a folder in chunks, whose bytes are synced when it is finished. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import callbacks, { rmSync } from 'node:fs';
import { mkdtemp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it, mock } from 'node:test';
import { RegistryError } from '../../lib/protocol/errors.ts';
import { blobData } from '../../lib/registry/layout.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { hasCode } from '../../lib/storage/file-errors.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { memoryFolder, type Folder } from '../servers/folder.ts';
import { leftovers, PowerCut } from '../storage/power-cut.ts';
import { chunk, digestOf, fresh, stream } from './upload-steps.ts';

const name = fresh();
const [first, second, third] = [randomBytes(70_000), randomBytes(80_000), randomBytes(90_000)];
const whole = Buffer.concat([first, second, third]);
const digest = digestOf(whole);

let space: Folder;

before(async () => {
  space = await memoryFolder('power');
});
after(() => {
  space.remove();
});
afterEach(() => {
  mock.restoreAll();
});

/** Another process. Its smallest parts are small, so that little is to be written. */
async function opened(root: string): Promise<Registry> {
  const store = await FilesystemStore.open(root);
  const small = new Proxy<ObjectStore>(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property);
      if (property === 'limits') return { ...target.limits, minPartSize: 1000, partSize: 50_000 };
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  return createRegistry(small);
}

/** Says that the type of all file systems is known at once. */
function mockFileSystem(type: number): void {
  mock.method(callbacks, 'statfs', (_: string, done: (error: null, stats: { type: number }) => void) => {
    done(null, { type });
  });
}

const pushes: Readonly<Record<string, (uploads: Registry['uploads'], id: string) => Promise<unknown>>> = {
  'in chunks': async (uploads, id) => {
    await uploads.append(name, id, chunk(first, 0));
    await uploads.append(name, id, chunk(second, 70_000));
    await uploads.append(name, id, chunk(third, 150_000));
    return await uploads.finish(name, id, digest, undefined);
  },
  'in a stream': async (uploads, id) => {
    await uploads.append(name, id, stream(whole));
    return await uploads.finish(name, id, digest, undefined);
  },
  whole: async (uploads, id) => await uploads.finish(name, id, digest, chunk(whole, 0)),
};

/** Resolves with whether it succeeded. A client begins anew after these errors. */
async function tried(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (!(error instanceof RegistryError) || ![400, 404].includes(error.status)) throw error;
    return false;
  }
}

async function assertRight(root: string, isThere: boolean): Promise<void> {
  const path = join(root, blobData(digest));
  const bytes = await readFile(path).catch((error: unknown) => {
    if (hasCode(error, ['ENOENT'])) return undefined;
    throw error;
  });
  if (bytes === undefined) assert.equal(isThere, false, 'the blob is lost');
  else assert.ok(bytes.equals(whole), 'the blob has other bytes');
}

/** What a client may do that finds the registry again. */
async function assertRecovers(root: string, id: string, isFinished: boolean): Promise<void> {
  await assertRight(root, isFinished);
  const { uploads, blobs } = await opened(root);
  if (isFinished) assert.equal((await blobs.stat(name, digest)).size, whole.byteLength);
  const offset = await uploads.status(name, id).catch(() => undefined);
  let isThere =
    isFinished || (offset === whole.byteLength && (await tried(uploads.finish(name, id, digest, undefined))));
  await assertRight(root, isThere);
  if (!isThere && offset !== undefined && offset > 0 && offset < whole.byteLength) {
    const rest = chunk(whole.subarray(offset), offset);
    const isSent = await tried(uploads.append(name, id, rest));
    isThere = isSent && (await tried(uploads.finish(name, id, digest, undefined)));
    await assertRight(root, isThere);
  }
  if (isThere) return;
  const again = await uploads.start(name);
  await uploads.append(name, again, chunk(whole, 0));
  await uploads.finish(name, again, digest, undefined);
  await assertRight(root, true);
}

const [local, network] = [0xef53, 0x6969];

/** An upload in an empty folder on a file system of a type, which is known. */
async function begun(type: number): Promise<{ root: string; uploads: Registry['uploads']; id: string }> {
  const root = await mkdtemp(join(space.path, 'root-'));
  mockFileSystem(type);
  const { uploads } = await opened(root);
  for (let times = 0; times < 2; times += 1) await uploads.put(name, digestOf(first), chunk(first, 0));
  return { root, uploads, id: await uploads.start(name) };
}

describe('a power cut while a blob is pushed', () => {
  for (const [how, push] of Object.entries(pushes))
    it(`keeps a finished blob and makes no wrong one, at any call: ${how}`, async () => {
      for (let calls = 0, isFinished = false; !isFinished; calls += 1) {
        const { root, uploads, id } = await begun(local);
        const spare = await mkdtemp(join(space.path, 'spare-'));
        const cut = await PowerCut.after(calls, root, spare);
        isFinished = await push(uploads, id).then(
          () => true,
          () => false,
        );
        mock.restoreAll();
        for (const leftover of leftovers) {
          const copy = join(space.path, 'copy');
          cut.leave(leftover, copy);
          await assertRecovers(copy, id, isFinished).catch((cause: unknown) => {
            throw new Error(`after call ${calls}, with ${leftover}`, { cause });
          });
          rmSync(copy, { recursive: true });
        }
        for (const path of [root, spare]) rmSync(path, { recursive: true });
      }
    });

  it('keeps a blob that another process finishes after the first was killed before a sync', async () => {
    const { root, uploads, id } = await begun(local);
    const large = randomBytes(5_300_000);
    const all = digestOf(large);
    const cut = await PowerCut.after(Infinity, root, await mkdtemp(join(space.path, 'spare-')));
    await uploads.append(name, id, chunk(large, 0));
    const another = await opened(root);
    await another.uploads.finish(name, id, all, undefined);
    mock.restoreAll();
    for (const leftover of leftovers) {
      const copy = await mkdtemp(join(space.path, 'copy-'));
      cut.leave(leftover, copy);
      assert.equal(digestOf(await readFile(join(copy, blobData(all)))), all);
      const { blobs } = await opened(copy);
      assert.equal((await blobs.stat(name, all)).size, large.byteLength);
    }
  });

  it('may take the bytes of chunks from a local file system, and never from one on a server, which can lose them alone', async () => {
    for (const [type, isUnsynced] of [
      [local, true],
      [network, false],
    ] as const) {
      const { root, uploads, id } = await begun(type);
      const sync = mock.method(callbacks, 'fsync');
      const cut = await PowerCut.after(Infinity, root, await mkdtemp(join(space.path, 'spare-')));
      await uploads.append(name, id, chunk(first, 0));
      assert.equal(sync.mock.callCount() === 0, isUnsynced);
      // The session is not among them.
      assert.equal(
        cut.unsyncedFiles().some((path) => path.includes('/multipart/')),
        isUnsynced,
      );
      mock.restoreAll();
    }
  });
});
