import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Algorithm } from '../../lib/protocol/digests.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import {
  assertBlob,
  assertBytesRight,
  begun,
  chunk,
  digestIn,
  fresh,
  hasBytes,
  MiB,
  store,
  stream,
  unknown,
  uploads,
  type Take,
} from './upload-steps.ts';

class Killed extends Error {}

/** The store of a process that is killed after so many changes; `done` tells if the next is made and only its answer lost. */
function killed(after: number, done: boolean): { store: ObjectStore; wasKilled: () => boolean } {
  const reads = new Set<keyof ObjectStore>(['head', 'open', 'read', 'list', 'signedUrl']);
  let left = after;
  let dead = false;
  const pass = async (method: keyof ObjectStore, call: () => Promise<unknown>): Promise<unknown> => {
    if (dead) throw new Killed();
    if (reads.has(method)) return await call();
    left -= 1;
    if (left >= 0) return await call();
    dead = true;
    if (done) await call();
    throw new Killed();
  };
  const dying = new Proxy<ObjectStore>(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property);
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) =>
        await pass(
          property as keyof ObjectStore,
          async () => (await Reflect.apply(value, target, args)) as unknown,
        );
    },
  });
  return { store: dying, wasKilled: () => dead };
}

interface Step {
  readonly what: string;
  readonly before: readonly (readonly [number, Take])[];
  /** Sent with the request under test, if any. */
  readonly size: number | undefined;
  readonly kind: 'append' | 'finish' | 'whole';
  readonly take: Take;
  /** In which it is finished, without having been announced; SHA-256 where nothing is said. */
  readonly algorithm?: Algorithm;
}

describe('a process killed at any change of the bucket', () => {
  const small = 1000;
  const large = 5 * MiB + 1000;
  const steps: readonly Step[] = [
    {
      what: 'the empty PUT after a small stream',
      before: [[small, stream]],
      size: undefined,
      kind: 'finish',
      take: stream,
    },
    {
      what: 'the empty PUT after a stream',
      before: [[large, stream]],
      size: undefined,
      kind: 'finish',
      take: stream,
    },
    {
      what: 'the empty PUT after chunks',
      before: [
        [large, chunk],
        [small, chunk],
      ],
      size: undefined,
      kind: 'finish',
      take: chunk,
    },
    { what: 'a PUT with the last chunk', before: [[large, chunk]], size: small, kind: 'finish', take: chunk },
    {
      what: 'a PUT with more bytes after a stream',
      before: [[large, stream]],
      size: small,
      kind: 'finish',
      take: stream,
    },
    { what: 'a PUT of the whole blob', before: [], size: large, kind: 'whole', take: stream },
    {
      what: 'a PUT of the whole blob over an attempt',
      before: [[large, stream]],
      size: large,
      kind: 'whole',
      take: stream,
    },
    { what: 'a first PATCH', before: [], size: large, kind: 'append', take: stream },
    { what: 'a PATCH with a chunk', before: [[large, chunk]], size: large, kind: 'append', take: chunk },
    {
      what: 'a PATCH with more bytes after a stream',
      before: [[large, stream]],
      size: small,
      kind: 'append',
      take: chunk,
    },
    {
      what: 'the empty PUT in SHA-512 after chunks',
      before: [
        [large, chunk],
        [small, chunk],
      ],
      size: undefined,
      kind: 'finish',
      take: chunk,
      algorithm: 'sha512',
    },
    {
      what: 'a PUT in SHA-512 with the last chunk',
      before: [[large, chunk]],
      size: small,
      kind: 'finish',
      take: chunk,
      algorithm: 'sha512',
    },
  ];

  for (const { what, before, size, kind, take, algorithm = 'sha256' } of steps)
    it(`a kill at any bucket request of ${what} lets a retry finish with the right bytes`, async () => {
      let kills = 0;
      for (const done of [false, true])
        for (let after = 0; ; after += 1) {
          const name = fresh();
          const taken = before.map(([length, how]) => [randomBytes(length), how] as const);
          const id = await begun(name, ...taken);
          const offset = await uploads().status(name, id);
          const more = size === undefined ? undefined : randomBytes(size);
          const all = [
            ...(kind === 'whole' ? [] : taken.map(([bytes]) => bytes)),
            ...(more === undefined ? [] : [more]),
          ];
          const digest = digestIn(algorithm, ...all);
          const last = () => (more === undefined ? undefined : take(more, kind === 'whole' ? 0 : offset));
          const send = async (on: Registry['uploads']): Promise<void> => {
            if (kind === 'append' && more !== undefined) await on.append(name, id, take(more, offset));
            else await on.finish(name, id, digest, last());
          };
          const process = killed(after, done);
          await send(uploads(process.store)).catch((error: unknown) => {
            assert.ok(process.wasKilled(), String(error));
            assert.ok(error instanceof Killed, String(error));
          });
          if (await hasBytes(digest)) await assertBytesRight(digest);
          if (kind === 'append') {
            // As a client does: it sends again what the upload does not have.
            if ((await uploads().status(name, id)) === offset) await send(uploads());
            await uploads().finish(name, id, digest, undefined);
          } else if (process.wasKilled()) {
            await send(uploads());
          }
          await assertBlob(name, digest);
          await assert.rejects(uploads().status(name, id), unknown);
          if (!process.wasKilled()) break;
          kills += 1;
        }
      assert.ok(kills >= 4, `only ${kills} kills`);
    });
});
