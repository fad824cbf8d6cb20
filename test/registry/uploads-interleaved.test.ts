import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import type { S3Store } from '../../lib/storage/s3/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { requires } from '../servers/requires.ts';
import type { S3Server } from '../servers/s3.ts';
import { s3Kinds, type S3Kind } from '../servers/buckets.ts';
import { bucketProxy, type BucketProxy } from '../servers/bucket-proxy.ts';
import { bucketStorage, openS3 } from '../servers/storage.ts';
import { betweenCalls, betweenRequests, everywhere, kinds, works, type Arena } from './interleaving.ts';
import { MemoryStore } from './memory-store.ts';

const stores = {
  'where parts stand beside each other': () => new MemoryStore(),
  'where a part replaces the one before': () => new MemoryStore({ partsReplace: true }),
  'where writes may have conditions': () => new MemoryStore({ partsReplace: true, conditionalWrites: true }),
  'where a move is a copy': () => new MemoryStore({ partsReplace: true, copies: true }),
  'where a completed upload can be completed again': () =>
    new MemoryStore({ partsReplace: true, copies: true, completesAgain: true }),
  'where a completed upload has no parts any more': () =>
    new MemoryStore({ partsReplace: true, copies: true, forgetsParts: true, conditionalWrites: true }),
  'where parts are equal': () => new MemoryStore({ partsReplace: true, copies: true, equalParts: true }),
};

/** Each on every second store, so that all come to their turn on three. */
const beginnings = [
  [0, 'chunk'],
  [300, 'chunk'],
  [300, 'stream'],
  [1500, 'chunk'],
  [1500, 'stream'],
] as const;

describe('two writers interleaved at every call', () => {
  for (const [i, [where, open]] of Object.entries(stores).entries())
    for (const [size, how] of beginnings.filter((_, j) => (i + j) % 2 === 0))
      it(`interleaved writers make no wrong blob ${where}, after ${size === 0 ? 'nothing' : `a ${how} of ${size} bytes`}`, async () => {
        let runs = 0;
        for (const [first, one] of Object.entries(works))
          for (const [second, other] of Object.entries(works))
            for (const { sizes, same } of kinds(one === other))
              try {
                runs += await everywhere(() => betweenCalls(open()), {
                  begin: { size, how },
                  one,
                  other,
                  sizes,
                  same,
                });
              } catch (error) {
                const told = `${first} of ${sizes[0]} bytes against ${second} of ${sizes[1]}${same ? ', the same' : ''}`;
                throw new Error(told, { cause: error });
              }
        assert.ok(runs > 400, `only ${runs} interruptions`);
      });
});

const MiB = 1024 * 1024;

/** With parts as large as stores want them, and so only some of all pairs. */
const pairs = [
  ['a chunk and the empty PUT', 'a PUT with the last chunk', 'chunk'],
  ['the empty PUT', 'the empty PUT', 'stream'],
  ['a chunk and the empty PUT', 'the empty PUT', 'stream'],
  ['a chunk and the empty PUT', 'a cancel', 'chunk'],
  ['a PUT with the last chunk', 'a PUT with the last chunk', 'chunk'],
  ['a PUT of the whole blob', 'the empty PUT', 'stream'],
] as const;

function interleave(open: () => Arena, part: number, some: readonly (typeof pairs)[number][] = pairs): void {
  for (const [first, second, how] of some)
    it(`interleaved writers make no wrong blob: ${first} against ${second}, after a ${how}`, async () => {
      const [one, other] = [works[first], works[second]];
      assert.ok(one !== undefined && other !== undefined);
      const runs = await everywhere(open, {
        begin: { size: part, how },
        one,
        other,
        sizes: [1000, 1200],
        same: false,
      });
      assert.ok(runs > 4, `only ${runs} interruptions`);
    });
}

describe('two writers interleaved at every call on the filesystem', () => {
  let folder: Folder;
  let store: FilesystemStore;

  before(async () => {
    folder = await temporaryFolder('interleaved');
    store = await FilesystemStore.open(folder.path);
  });

  after(() => {
    folder.remove();
  });

  interleave(() => betweenCalls(store), 5 * MiB);
});

for (const kind of s3Kinds)
  describe(`two writers interleaved at every request on ${kind.name}`, requires(...kind.needs), () => {
    interleaveRequests(kind);
  });

function interleaveRequests(kind: S3Kind): void {
  let server: S3Server;
  let proxy: BucketProxy;
  const stores: S3Store[] = [];

  before(async () => {
    server = await kind.start();
    proxy = await bucketProxy(server.endpoint);
    const { settings } = await bucketStorage(server);
    const proxied = { ...settings, REGISTRY_STORAGE_S3_REGIONENDPOINT: proxy.endpoint };
    for (const each of [settings, proxied]) stores.push(await openS3(each));
  });

  after(async () => {
    for (const store of stores) store.close();
    await proxy.stop();
    await server.stop();
  });

  const arena = (): Arena => {
    const [store, proxied] = stores;
    assert.ok(store !== undefined && proxied !== undefined);
    return betweenRequests(store, proxied, proxy);
  };

  // Finishing alone takes few requests, which the calls above cover one by one.
  interleave(
    arena,
    5 * MiB,
    pairs.filter(([first, second]) => first !== second && second !== 'the empty PUT'),
  );
}
