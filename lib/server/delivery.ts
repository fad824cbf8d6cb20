import type { Events } from '../compose-events.ts';
import { isFurtherWorker, type Config } from '../config/config.ts';
import type { FromWorker, ToWorker } from './workers/messages.ts';

/** How long a stop goes on to deliver what the last requests have written, in milliseconds: for the last five, it begins nothing. */
const lastDeliveryMs = 6_000;

/**
 * Delivers events of this process and of the others on the same bucket, one of which does it at a time. Of several workers the first one
 * delivers, and the others tell it what they write.
 * @returns a function that ends it, after three seconds at most unless the bucket is slow
 */
export async function deliverInBackground(
  events: Events,
  config: Pick<Config, 'workerNumber'>,
): Promise<() => Promise<void>> {
  if (isFurtherWorker(config)) {
    events.onWritten = tellFirstWorker;
    return async () => {
      await Promise.resolve();
    };
  }
  const deliverer = await events.createDeliverer();
  const wake = () => {
    deliverer.wake();
  };
  events.onWritten = wake;
  const onMessage = (message: ToWorker) => {
    if (!('stowage' in message) || message.stowage !== 'written') return;
    events.outbox.remember(message.key);
    wake();
  };
  process.on('message', onMessage);
  const stop = new AbortController();
  const running = deliverer.run(stop.signal);
  return async () => {
    stop.abort();
    await running;
    process.off('message', onMessage);
    // What fails now is left to the next start, or to another server.
    await deliverer.drain(lastDeliveryMs).catch(() => undefined);
  };
}

function tellFirstWorker(key: string): void {
  process.send?.({ stowage: 'written', key } satisfies FromWorker);
}
