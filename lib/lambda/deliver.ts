import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { createDeliverer } from '../compose-delivery.ts';
import type { Config } from '../config/config.ts';
import { pendingPrefix } from '../registry/layout.ts';
import { storeTimeMs } from '../storage/store-time.ts';
import type { ObjectStore } from '../storage/store.ts';

/** In milliseconds. Tests have other ones. */
export interface DeliveryTimes {
  /** Of an invocation. Lambda ends it after two minutes. */
  readonly budgetMs: number;
  /** For how long an invocation waits for writes that are in progress, and how often it looks. */
  readonly waitMs: number;
  readonly lookMs: number;
  /** A younger event than this may be of a write in progress. */
  readonly youngMs: number;
}

const usualTimes: DeliveryTimes = { budgetMs: 60_000, waitMs: 20_000, lookMs: 1_000, youngMs: 15_000 };

/** What the function `events` works with. */
export interface DeliveryJob {
  readonly config: Pick<Config, 'notifications' | 'host' | 'prefix'>;
  readonly store: ObjectStore;
}

/**
 * Delivers what there is. A message comes while its write is still in progress, so this waits for it. One request if there is nothing.
 * @throws Error if an event was given up, so that an alarm sees it
 */
export async function deliver(
  { config, store }: DeliveryJob,
  log: Logger,
  times: DeliveryTimes = usualTimes,
): Promise<void> {
  let givenUp = 0;
  const deliverer = await createDeliverer(config, store, {
    log,
    report: (_, one) => {
      if (one.event === 'dead') givenUp += one.count;
    },
  });
  const startMs = performance.now();
  const spentMs = () => performance.now() - startMs;
  const mayWait = async () => {
    if (spentMs() > times.waitMs) return false;
    await delay(times.lookMs);
    return true;
  };
  while (await deliverer.drain(times.budgetMs - spentMs()))
    if (!(await isAnyYoung(store, times.youngMs)) || !(await mayWait())) break;
  if (givenUp === 0) return;
  const what = givenUp === 1 ? '1 event was' : `${givenUp} events were`;
  throw new Error(`${what} given up; stowage events list shows what and why`);
}

async function isAnyYoung(store: ObjectStore, youngMs: number): Promise<boolean> {
  const { objects } = await store.list({ prefix: pendingPrefix });
  return objects.some(({ lastModified }) => storeTimeMs(store) - lastModified.getTime() < youngMs);
}
