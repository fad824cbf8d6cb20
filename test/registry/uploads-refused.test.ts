/**
 * Two requests that begin where an upload stands: one is accepted, the other refused, sooner or later, or never heard of again.
 * Whatever that one has written, the bytes that were accepted become the blob.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { blobData, uploadSession } from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import type { Chunk, Registry } from '../../lib/registry/interface.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { digestOf as hexDigestOf } from '../functions/client.ts';
import { intercepted } from './interrupted.ts';
import { MemoryStore } from './memory-store.ts';
import { onStores } from './on-stores.ts';

const name = parseRepositoryName('team/app');

const uploadsOn = (store: ObjectStore): Registry['uploads'] => createRegistry(store).uploads;

const digestOf = (...bytes: readonly Uint8Array[]) => parseDigest(hexDigestOf(Buffer.concat(bytes)));

/** What another waits for. */
function gate(): { readonly open: () => void; readonly opened: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  return { open: () => resolve(undefined), opened: promise.then(() => undefined) };
}

async function* all(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield await Promise.resolve(bytes);
}

const chunk = (bytes: Uint8Array, start: number, partial = true): Chunk => ({
  body: all(bytes),
  start,
  length: bytes.byteLength,
  partial,
});

/** How the request ends that is not accepted, once the other one has been. */
type End = 'sends its last byte' | 'hangs up' | 'stores its parts' | 'stores its parts and is killed';

const ends: readonly End[] = [
  'sends its last byte',
  'hangs up',
  'stores its parts',
  'stores its parts and is killed',
];

/** Its bytes, beside those that are accepted. */
const rivals: Readonly<Record<string, (accepted: Buffer) => Buffer>> = {
  'the same bytes': (accepted) => accepted,
  'other bytes': (accepted) => randomBytes(accepted.length),
  'fewer bytes': (accepted) => accepted.subarray(0, -700),
  'more bytes': (accepted) => Buffer.concat([accepted, randomBytes(700)]),
};

interface Case {
  /** Sizes of the chunks, or the one stream, that the upload has. */
  readonly before: readonly number[];
  readonly streamed?: boolean;
  /** Bytes that are accepted. */
  readonly size: number;
  readonly rival: (accepted: Buffer) => Buffer;
  readonly end: End;
  /** Whether the request that is not accepted would finish the upload. */
  readonly closes: boolean;
}

class Killed extends Error {}

/** The store of the one that is not accepted. @param arrived called when it has something to wait with */
function slowStore(store: ObjectStore, end: End, arrived: () => void, go: Promise<void>): ObjectStore {
  return intercepted(store, async (method, [key]) => {
    const isSession = method === 'put' && String(key).endsWith('/session');
    const isPart = method === 'uploadPart' || method === 'openPart' || (method === 'put' && !isSession);
    if (end === 'stores its parts and is killed' && isSession) throw new Killed();
    if (!isPart || !end.startsWith('stores')) return;
    arrived();
    await go;
  });
}

async function check(store: ObjectStore, { before, streamed = false, size, rival, end, closes }: Case) {
  const id = await uploadsOn(store).start(name);
  const sent: Buffer[] = [];
  const send = async (bytes: Buffer, partial = true): Promise<void> => {
    const start = Buffer.concat(sent).length;
    await uploadsOn(store).append(name, id, chunk(bytes, start, partial));
    sent.push(bytes);
  };
  for (const each of before) await send(randomBytes(each), !streamed);
  const accepted = randomBytes(size);
  const bytes = rival(accepted);
  const [arrived, go] = [gate(), gate()];
  const slow = uploadsOn(slowStore(store, end, arrived.open, go.opened));
  const body = async function* (): AsyncIterable<Uint8Array> {
    yield bytes.subarray(0, -1);
    if (!end.startsWith('stores')) {
      arrived.open();
      await go.opened;
      if (end === 'hangs up') throw new Error('the client is gone');
    }
    yield bytes.subarray(-1);
  };
  const start = Buffer.concat(sent).length;
  const last = { body: body(), start, length: bytes.length, partial: true };
  const other = closes
    ? slow.finish(name, id, digestOf(Buffer.from('wrong')), last)
    : slow.append(name, id, last).then(() => undefined);
  const refusal = other.then(
    () => undefined,
    (error: unknown) => error,
  );
  await arrived.opened;
  await send(accepted);
  go.open();
  assert.notEqual(await refusal, undefined, 'both were accepted');
  assert.equal(await uploadsOn(store).status(name, id), Buffer.concat(sent).length);
  // What was left of it does no harm to what follows either.
  await send(randomBytes(100));
  const digest = digestOf(...sent);
  await uploadsOn(store).finish(name, id, digest, undefined);
  const blob = await store.read(blobData(digest), Buffer.concat(sent).length);
  assert.ok(blob.bytes.equals(Buffer.concat(sent)), 'the blob has other bytes');
  await assert.rejects(store.head(uploadSession(id)), { name: 'ObjectNotFound' });
}

const stores = {
  'where parts stand beside each other': () => new MemoryStore(),
  'where a part replaces the one before': () => new MemoryStore({ partsReplace: true }),
  'where writes may have conditions': () => new MemoryStore({ partsReplace: true, conditionalWrites: true }),
  'where a move is a copy': () => new MemoryStore({ partsReplace: true, copies: true }),
  'on a store like AWS': () => new MemoryStore({ partsReplace: true, copies: true, conditionalWrites: true }),
  'where a completed upload can be completed again': () =>
    new MemoryStore({ partsReplace: true, copies: true, completesAgain: true }),
  'where parts are equal': () => new MemoryStore({ partsReplace: true, copies: true, equalParts: true }),
};

const beginnings: readonly Pick<Case, 'before' | 'streamed'>[] = [
  { before: [300] },
  { before: [1500] },
  { before: [2500, 1200, 900] },
  { before: [4700], streamed: true },
];

describe('bytes that were accepted', () => {
  for (const [where, open] of Object.entries(stores))
    for (const begun of beginnings)
      it(`accepted bytes become the blob ${where}, after ${begun.before.join(', ')} bytes ${begun.streamed === true ? 'in a stream' : 'in chunks'}, despite a concurrent request`, async () => {
        for (const size of [900, 1500, 5200])
          for (const [what, rival] of Object.entries(rivals))
            for (const end of ends)
              for (const closes of [false, true]) {
                // Nothing is stored of a few bytes but a session, and of a request that closes not even that.
                if (end.startsWith('stores') && (size < 5200 || (closes && end.endsWith('killed')))) continue;
                try {
                  await check(open(), { ...begun, size, rival, end, closes });
                } catch (cause) {
                  throw new Error(`${size} bytes beside ${what}; it ${end}${closes ? ', closing' : ''}`, {
                    cause,
                  });
                }
              }
      });
});

const MiB = 1024 ** 2;

/** With parts as large as stores want them, and so only some of all. */
function survives(open: () => ObjectStore): void {
  for (const [what, end, closes] of [
    ['other bytes', 'sends its last byte', false],
    ['fewer bytes', 'stores its parts', false],
    ['other bytes', 'stores its parts', true],
    ['more bytes', 'hangs up', false],
  ] as const)
    it(`accepted bytes become the blob despite a request of ${what} that ${end}${closes ? ', with a wrong digest' : ''}`, async () => {
      const rival = rivals[what];
      assert.ok(rival !== undefined);
      await check(open(), { before: [5 * MiB], size: 5 * MiB + 1000, rival, end, closes });
    });
}

onStores('bytes that were accepted', survives);
