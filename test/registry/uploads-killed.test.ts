import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Algorithm } from '../../lib/protocol/digests.ts';
import type { Registry } from '../../lib/registry/interface.ts';
import type { NewObject, ObjectStore, PartSink, UploadedPart } from '../../lib/storage/store.ts';
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
function killed(
  after: number,
  done: boolean,
): {
  store: ObjectStore;
  wasKilled: () => boolean;
  /** Closes the files that the process had open, as the system does. */
  close: () => Promise<unknown>;
} {
  const reads = new Set<keyof ObjectStore>(['head', 'open', 'read', 'list', 'signedUrl']);
  let left = after;
  let dead = false;
  const sinks: PartSink[] = [];
  const pass = async (method: keyof ObjectStore, call: () => Promise<unknown>): Promise<unknown> => {
    if (dead) throw new Killed();
    if (reads.has(method)) return await call();
    left -= 1;
    if (left >= 0) return await call();
    dead = true;
    if (done) await call();
    throw new Killed();
  };
  const dyingSink = (sink: PartSink): PartSink => ({
    write: async (bytes) => {
      await pass('openPart', async () => {
        await sink.write(bytes);
      });
    },
    finish: async () => (await pass('openPart', async () => await sink.finish())) as UploadedPart,
    abort: async () => {
      if (!dead) await sink.abort();
    },
  });
  const dying = new Proxy<ObjectStore>(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property);
      if (typeof value !== 'function') return value;
      if (property === 'readParts') return value.bind(target) as unknown;
      // It may be killed between any two of them.
      if (property === 'putInOrder')
        return async (objects: readonly NewObject[]) => {
          const infos: unknown[] = [];
          for (const object of objects)
            infos.push(await pass(property, async () => await target.put(object.key, object.bytes)));
          return infos;
        };
      return async (...args: unknown[]) => {
        const call = async () => {
          const result = (await Reflect.apply(value, target, args)) as unknown;
          if (property === 'openPart' && result !== undefined) sinks.push(result as PartSink);
          return result;
        };
        const result = await pass(property as keyof ObjectStore, call);
        return property === 'openPart' && result !== undefined ? dyingSink(result as PartSink) : result;
      };
    },
  });
  const close = async () =>
    await Promise.all(
      sinks.map(async (sink) => {
        await sink.abort();
      }),
    );
  return { store: dying, wasKilled: () => dead, close };
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
  /** Changes of the bucket that it makes at least; 3 unless given. */
  readonly changes?: number;
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
      // The session alone: its tail takes the bytes.
      changes: 1,
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

  for (const { what, before, size, kind, take, algorithm = 'sha256', changes = 3 } of steps)
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
          await process.close();
          if (!process.wasKilled()) break;
          kills += 1;
        }
      // Each is killed before it and after it.
      assert.ok(kills >= 2 * changes, `only ${kills} kills`);
    });
});
