/*
 * How long a server takes to answer `/v2/` while it is busy. Asked from a thread of its own, as the one that makes the load is
 * busy as well.
 */
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

/** Milliseconds that answers took. */
export interface Pings {
  /** Of half of them. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** @param url base URL of a server @returns what ends it and tells what was seen */
export async function startPings(url: string): Promise<() => Promise<Pings>> {
  const worker = new Worker(new URL(import.meta.url), { workerData: url });
  await once(worker, 'message');
  return async () => {
    worker.postMessage('end');
    const [pings] = (await once(worker, 'message')) as [Pings];
    return pings;
  };
}

async function ping(url: string): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  const took: number[] = [];
  const over = new AbortController();
  parentPort?.once('message', () => {
    over.abort();
  });
  while (!over.signal.aborted) {
    const began = performance.now();
    const [answer] = (await once(get(`${url}/v2/`, { agent }), 'response')) as [IncomingMessage];
    await once(answer.resume(), 'end');
    if (took.length === 0) parentPort?.postMessage('begun');
    took.push(performance.now() - began);
    await delay(20);
  }
  agent.destroy();
  took.sort((a, b) => a - b);
  const share = (part: number) => Math.round(took[Math.floor(part * (took.length - 1))] ?? Infinity);
  parentPort?.postMessage({ p50: share(0.5), p99: share(0.99), max: share(1) } satisfies Pings);
}

if (!isMainThread) await ping(workerData as string);
