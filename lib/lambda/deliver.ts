import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { createDeliverer } from '../compose-delivery.ts';
import type { Config } from '../config/config.ts';
import { pendingPrefix } from '../registry/layout.ts';
import { storeTimeMs } from '../storage/store-time.ts';
import type { ObjectStore } from '../storage/store.ts';

/** Milliseconds of an invocation. Lambda ends it after two minutes. */
const budgetMs = 60_000;

/** For how long an invocation waits for writes that are in progress, and how often it looks, in milliseconds. */
const waitMs = 20_000;
const lookMs = 1_000;

/** A younger event than this may be of a write in progress, in milliseconds. */
const youngMs = 15_000;

/** What the function `events` works with. */
export interface DeliveryJob {
  readonly config: Pick<Config, 'notifications' | 'host' | 'prefix'>;
  readonly store: ObjectStore;
}

/**
 * Delivers what there is. A message comes while its write is still in progress, so this waits for it.
 * @throws Error if an event was given up, so that an alarm sees it
 */
export async function deliver({ config, store }: DeliveryJob, log: Logger): Promise<void> {
  let givenUp = 0;
  const deliverer = await createDeliverer(config, store, {
    log,
    report: (_, one) => {
      if (one.event === 'dead') givenUp += one.count;
    },
  });
  const startMs = performance.now();
  const spentMs = () => performance.now() - startMs;
  do await deliverer.drain(budgetMs - spentMs());
  while ((await isAnyYoung(store)) && (await mayWait(spentMs())));
  if (givenUp > 0) throw new Error(`${givenUp} events were given up; stowage events list shows them`);
}

async function mayWait(spentMs: number): Promise<boolean> {
  if (spentMs > waitMs) return false;
  await delay(lookMs);
  return true;
}

async function isAnyYoung(store: ObjectStore): Promise<boolean> {
  const { objects } = await store.list({ prefix: pendingPrefix });
  return objects.some(({ lastModified }) => storeTimeMs(store) - lastModified.getTime() < youngMs);
}
