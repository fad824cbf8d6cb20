import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import type { SearchBackend } from '../../lib/search/search-backend.ts';
import type { Requirement } from '../servers/requires.ts';
import { NamesBucket, type SharedGround, type SharedList } from './list-ground.ts';

const rounds = 1000;

/** Names that always exist: a reader that misses one has seen a partial list. */
const steady = Array.from({ length: 20 }, (_, i) => `steady/${String(i).padStart(2, '0')}`);

/** What comes and goes. */
const contested = ['a', 'a-b', 'a_b', 'team/app'];

/** Numbers from 0 to below 1, always the same ones (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Concurrent pushes, deletes, reindexes and reads of one list on three backends that share it, in seeded random order. */
export function interleavings(
  what: string,
  requirement: Requirement,
  start: () => Promise<SharedGround>,
): void {
  describe(`${rounds} interleavings of pushes, deletes and reindexes on ${what}`, requirement, () => {
    let ground: SharedGround;
    let list: SharedList;
    let backends: SearchBackend[];

    before(async () => {
      ground = await start();
      list = await ground.newList();
      backends = [await list.connect(), await list.connect(), await list.connect()];
    });

    after(async () => {
      for (const backend of backends) await backend.close();
      list.remove();
      await ground.stop();
    });

    it(`a name is gone from ${what} at once when it is forgotten, unless the bucket has it`, async () => {
      const bucket = new NamesBucket('gone', 'kept');
      const [backend, other] = backends;
      await backend?.reindex(bucket);
      await list.age();
      bucket.names.delete('gone');
      for (const name of ['gone', 'kept', 'never']) await backend?.forget(parseRepositoryName(name), bucket);
      assert.deepEqual((await other?.list({ n: 10, last: '' }))?.names, ['kept']);
    });

    it(`${rounds} interleavings of pushes, deletes and reindexes on ${what} lose no name and show no partial list`, async () => {
      const random = randomOf(6);
      const bucket = new NamesBucket();
      bucket.pause = async () => {
        await delay(random() < 0.5 ? 0 : Math.floor(random() * 4));
      };
      const pick = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T;
      for (const name of steady) bucket.names.add(name);
      await backends[0]?.reindex(bucket);
      const listed = async () => new Set((await pick(backends).list({ n: 1000, last: '' })).names);
      const push = async (name: string) => {
        await bucket.add(name);
        await pick(backends).record(parseRepositoryName(name));
      };
      const look = async () => {
        const names = await listed();
        assert.deepEqual(
          steady.filter((name) => !names.has(name)),
          [],
        );
      };
      let removed = 0;
      const acts: (() => Promise<void>)[] = [
        async () => {
          await push(pick(contested));
        },
        async () => {
          await bucket.delete(pick(contested));
        },
        async () => {
          const name = parseRepositoryName(pick(contested));
          await bucket.delete(name);
          await pick(backends).forget(name, bucket);
        },
        async () => {
          removed += (await pick(backends).reindex(bucket))?.removed ?? 0;
        },
        look,
      ];
      for (let round = 0; round < rounds; round++) {
        await list.age();
        const chosen = Array.from({ length: 3 + Math.floor(random() * 4) }, () => pick(acts));
        await Promise.all(
          chosen.map(async (act) => {
            await delay(Math.floor(random() * 5));
            await act();
          }),
        );
        const names = await listed();
        const lost = [...bucket.names].filter((name) => !names.has(name));
        assert.deepEqual(lost, [], `lost in round ${round}`);
      }
      assert.ok(removed > 50, `only ${removed} names were removed`);
    });
  });
}
