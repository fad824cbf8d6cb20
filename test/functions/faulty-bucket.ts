/** A bucket that fails: requests succeed, or say that they failed, and what exists is never said to be missing. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startServer } from '../../lib/server/server.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { bucketProxy, type BucketProxy, type Fate } from '../servers/bucket-proxy.ts';
import { proxied, type BucketKind, type Buckets } from '../servers/buckets.ts';
import { freePort } from '../servers/ports.ts';
import { requires } from '../servers/requires.ts';
import { Client, type Ask, type Reply } from './client.ts';
import { killOperations, smallParts } from './kill-operations.ts';
import { readOperations } from './read-operations.ts';
import { assertSound, assertSwept } from './sound-bucket.ts';

const slowDown: Fate = { status: 503, code: 'SlowDown' };

/** What befalls one request that writes, or reads. Those that follow on each other are of different kinds. */
const mishaps: readonly Fate[] = ['drop-answer', slowDown, 'cut-body', 'drop-request'];
const readMishaps: readonly Fate[] = [...mishaps, { status: 500, code: 'InternalError' }, 'halve-body'];

/** What befalls by turns: in as many rounds as there are mishaps, each befalls every request. */
const mishapOf = (fates: readonly Fate[], turn: number): Fate => fates[turn % fates.length] ?? slowDown;

/** What befalls all of them, by turns. */
const outages: readonly Fate[] = [slowDown, 'drop-request'];
const outage = (k: number): Fate => outages[k % outages.length] ?? slowDown;

/** Milliseconds in which a request to the bucket that is still being sent again is sent the last time, and succeeds. */
const lateRequests = 2000;

export interface Faults {
  /** In which each request of each write operation meets one mishap. */
  readonly rounds: number;
  /** The same of those that read. */
  readonly readRounds: number;
  /** From one request that a mishap befalls in a round to the next. */
  readonly every: number;
  /** Requests from the beginning of one outage to that of the next. */
  readonly between: number;
}

export function faultyBucket(kind: BucketKind, { rounds, readRounds, every, between }: Faults): void {
  describe(`a faulty bucket on ${kind.name}`, requires(...kind.needs), () => {
    let buckets: Buckets;

    before(async () => {
      buckets = await kind.start();
    });

    after(async () => {
      await buckets.stop();
    });

    /** A bucket, a proxy and a registry of a test's own: tests wait much, and do so side by side. */
    const onGround = async (act: (ground: Ground) => Promise<void>): Promise<void> => {
      const storage = await buckets.newBucket(smallParts(kind));
      const proxy = await bucketProxy(buckets.endpoint);
      const config = loadConfig('server', {
        ...proxied(kind, storage, proxy),
        REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
        REGISTRY_STORAGE_REDIRECT_DISABLE: 'true',
        // What fails here is not worth a line each.
        REGISTRY_LOG_LEVEL: 'error',
      });
      const server = await startServer('server', config);
      try {
        await act({ client: new Client(server.url), proxy });
        proxy.reset();
        const store = await storage.open();
        await assertSound(store);
        await assertSwept(store);
      } finally {
        await server.stop();
        await proxy.stop();
      }
    };

    describe('with a single failure', { concurrency: 24 }, () => {
      for (const [i, { title, prepare }] of killOperations('server').entries())
        it(`one failure of the bucket lets ${title} succeed, or fail and be repeated`, async () => {
          await onGround(async (ground) => {
            for (let round = 0; round < rounds; round++)
              for (let k = round % every, happened = true; happened; k += every) {
                const { ask, repeat } = await prepare(ground.client, `team/app-${round}-${k}`);
                const { reply, index } = await during(
                  ground,
                  (at) => (at === k ? mishapOf(mishaps, i + round + Math.floor(k / every)) : 'pass'),
                  ask,
                );
                assertDone(reply);
                happened = index > k;
                await repeat(ground.client);
              }
          });
        });

      for (const [i, { title, prepare }] of readOperations.entries())
        it(`one failure of the bucket never hides content from ${title}`, async () => {
          await onGround(async (ground) => {
            const next = await prepare(ground.client, 'team/app');
            for (let round = 0; round < readRounds; round++)
              for (let k = round % every, happened = true; happened; k += every) {
                const { ask, check } = await next();
                const { reply, index } = await during(
                  ground,
                  (at) => (at === k ? mishapOf(readMishaps, i + round + Math.floor(k / every)) : 'pass'),
                  ask,
                );
                happened = index > k;
                // One failure is made up for.
                check(reply);
              }
          });
        });
    });

    describe('with an outage that begins at any request', { concurrency: 24 }, () => {
      for (const { title, prepare } of killOperations('server'))
        it(`an outage of the bucket fails ${title} with 503, which can be repeated afterwards`, async () => {
          await onGround(async (ground) => {
            for (let k = 0, happened = true; happened; k += between) {
              const { ask, repeat } = await prepare(ground.client, `team/app-${k}`);
              const { reply, index } = await during(ground, (at) => (at >= k ? outage(k) : 'pass'), ask);
              happened = index > k;
              // What only tidies up may have failed unnoticed.
              assertDone(reply);
              if (k === 0) assertFailed(reply);
              await repeat(ground.client);
            }
          });
        });

      for (const { title, prepare } of readOperations)
        it(`an outage of the bucket fails ${title} with 503 or ends the connection`, async () => {
          await onGround(async (ground) => {
            const next = await prepare(ground.client, 'team/app');
            const attempt = async (k: number) => {
              const { ask, check } = await next();
              const { reply, index } = await during(ground, (at) => (at >= k ? outage(k) : 'pass'), ask);
              return { ask, check, reply, happened: index > k };
            };
            for (let k = 0, happened = true; happened; k += between) {
              let outcome = await attempt(k);
              // It may have befallen a late request of an earlier read, whose answer did not wait for it: then once more.
              if (k > 0 && outcome.happened && outcome.reply.status < 300) {
                outcome.check(outcome.reply);
                await delay(lateRequests);
                outcome = await attempt(k);
              }
              const { ask, check, reply } = outcome;
              happened = outcome.happened;
              if (happened) assertFailed(reply);
              else check(reply);
              check(await ground.client.send(ask));
            }
          });
        });
    });
  });
}

interface Ground {
  readonly client: Client;
  readonly proxy: BucketProxy;
}

/** @returns what was answered, and how many requests the bucket got for it */
async function during(
  { client, proxy }: Ground,
  fateOf: (index: number) => Fate,
  ask: Ask,
): Promise<{ reply: Reply; index: number }> {
  await proxy.settled();
  proxy.reset();
  proxy.intercept = (_, index) => fateOf(index);
  const reply = await client.send(ask);
  await proxy.settled();
  const index = proxy.requests.length;
  proxy.reset();
  return { reply, index };
}

/** A success, or a failure that is said to be one. */
function assertDone(reply: Reply): void {
  if (reply.status >= 300) assertFailed(reply);
}

function assertFailed({ status, headers, body }: Reply): void {
  const text = body.toString();
  assert.equal(status, 503, text);
  assert.equal(headers['content-type'], 'application/json');
  // The answer to a HEAD has no body.
  if (text !== '') assert.match(text, /^\{"errors":\[\{"code":"UNAVAILABLE","message":"[^"]+"\}\]\}$/);
}
