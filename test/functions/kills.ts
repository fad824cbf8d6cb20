/** Processes that are killed between any two requests to their bucket, in the middle of every operation that writes. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { loadConfig } from '../../lib/config/config.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { bucketProxy, type BucketProxy } from '../servers/bucket-proxy.ts';
import { proxied, type BucketKind, type Buckets } from '../servers/buckets.ts';
import { freePort } from '../servers/ports.ts';
import { requires } from '../servers/requires.ts';
import { functions, serve, type Stowage } from '../servers/stowage.ts';
import { Client, type Ask } from './client.ts';
import { killOperations, smallParts } from './kill-operations.ts';
import { assertSound, assertSwept, type Memory } from './sound-bucket.ts';

const secret = { REGISTRY_HTTP_SECRET: 'the secret of a test', REGISTRY_LOG_LEVEL: 'error' };

/**
 * @param program whose processes are killed
 * @param every how many requests lie between one kill and the next. The first kill of each operation is at its first
 * request, and the second at the second one of one operation, the third of the next, and so on by turns.
 */
export function killsOn(kind: BucketKind, program: 'server' | 'functions', every = 1): void {
  describe(`the ${program} on ${kind.name}, killed between any two requests`, requires(...kind.needs), () => {
    let buckets: Buckets;
    let proxy: BucketProxy;

    before(async () => {
      buckets = await kind.start();
      proxy = await bucketProxy(buckets.endpoint);
    });

    after(async () => {
      await proxy.stop();
      await buckets.stop();
    });

    for (const [i, { title, prepare }] of killOperations(program).entries())
      it(`${title}, killed between any two requests of the ${program} on ${kind.name}, harms nothing, can be repeated, and is purged`, async () => {
        const storage = await buckets.newBucket(smallParts(kind));
        const victims = new Victims(program, proxied(kind, storage, proxy));
        const survivor = await startSurvivor(storage.settings);
        const client = new Client(survivor.url);
        const store = await storage.open();
        const memory: Memory = new Map();
        try {
          let kills = 0;
          for (let [k, isOver] = [0, false]; !isOver; k += k === 0 ? 1 + (i % every) : every) {
            const { ask, repeat } = await prepare(client, `team/app-${k}`);
            const victim = await victims.next();
            isOver = await killAt(victim, proxy, k, ask);
            if (isOver) await victim.stop();
            else {
              victims.prepare();
              kills++;
            }
            await assertSoundAfter(store, memory, `request ${k}`);
            await repeat(client);
          }
          assert.ok(kills > 0, 'nothing was killed');
          await assertSoundAfter(store, memory, 'all repetitions');
          await assertSwept(store);
        } finally {
          await Promise.all([victims.stop(), survivor.stop()]);
        }
      });
  });
}

async function startSurvivor(settings: Readonly<Record<string, string>>): Promise<StreamingServer> {
  const address = { REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}` };
  const bytes = { REGISTRY_STORAGE_REDIRECT_DISABLE: 'true' };
  return await startServer('server', loadConfig('server', { ...settings, ...secret, ...address, ...bytes }));
}

/**
 * Sends a request to a process that is killed when it sends its k-th to the bucket, from 0. The first of them does not
 * arrive; the others do, so that each kill comes after one more has taken effect.
 * @returns whether the process did it all without so many
 */
async function killAt(victim: Stowage, proxy: BucketProxy, k: number, ask: Ask): Promise<boolean> {
  let killed: Promise<void> | undefined;
  proxy.reset();
  proxy.intercept = (_, index) => {
    if (index !== k) return killed === undefined ? 'pass' : 'drop-request';
    killed = victim.kill();
    return k === 0 ? 'drop-request' : 'pass';
  };
  const outcome = await new Client(`http://${victim.address}`).send(ask).catch(() => undefined);
  await killed;
  await proxy.settled();
  proxy.reset();
  if (killed === undefined) {
    assert.ok(outcome !== undefined && outcome.status < 300, `${outcome?.status}: ${String(outcome?.body)}`);
    return true;
  }
  assert.equal(outcome, undefined, 'a process that was killed has answered');
  return false;
}

async function assertSoundAfter(store: ObjectStore, memory: Memory, what: string): Promise<void> {
  await assertSound(store, { memory }).catch((cause: unknown) => {
    throw new Error(`after ${what}`, { cause });
  });
}

/** Processes to be killed. */
class Victims {
  readonly #program: 'server' | 'functions';
  readonly #settings: Readonly<Record<string, string>>;
  #next: Promise<Stowage> | undefined;

  constructor(program: 'server' | 'functions', settings: Readonly<Record<string, string>>) {
    this.#program = program;
    this.#settings = settings;
  }

  /** Starts the next one, while what the one before has left is looked at. */
  prepare(): void {
    this.#next ??= (this.#program === 'server' ? serve : functions)(this.#settings, secret);
    // Whoever waits for it is told.
    this.#next.catch(() => undefined);
  }

  /** One whose start asks nothing of the bucket any more. */
  async next(): Promise<Stowage> {
    this.prepare();
    const victim = await this.#next;
    assert.ok(victim !== undefined);
    this.#next = undefined;
    return victim;
  }

  async stop(): Promise<void> {
    await (await this.#next)?.stop();
  }
}
