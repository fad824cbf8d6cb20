/*
 * Verifies passwords in worker threads. This module is both the starter and the worker, so load it by `import()` only: then it
 * is a separate file in every bundle.
 */
import { parentPort, Worker, workerData, type MessagePort } from 'node:worker_threads';
import { bcryptVerify } from './bcrypt.ts';
import { dummyHash } from './dummy-hash.ts';

/** A password to compare with a hash. */
export interface Check {
  /** At most 72 bytes, the limit of bcrypt. */
  readonly password: Uint8Array;
  readonly hash: string;
  /** bcrypt cost whose time each failed check takes, whatever the cost of the hash. */
  readonly costOfFailure: number;
}

/** The result of a check: whether the password is right, or why the check failed. */
export type Checked = { readonly matches: boolean } | { readonly error: string };

/** Identifies the worker threads of this module. */
const mark = 'stowage: bcrypt';

/** Starts a thread. For each {@link Check} that is posted to it, it posts a {@link Checked}. */
export function startWorker(): Worker {
  return new Worker(new URL(import.meta.url), { workerData: mark });
}

if (workerData === mark && parentPort !== null) work(parentPort);

function work(port: MessagePort): void {
  port.on('message', (message: Check) => {
    check(message).then(
      (matches) => {
        port.postMessage({ matches } satisfies Checked);
      },
      (error: unknown) => {
        port.postMessage({ error: String(error) } satisfies Checked);
      },
    );
  });
}

/**
 * A check of cost c takes 2^c rounds. After a failure, dummy checks of costs c to m - 1 make it 2^m in total, which is the time
 * of the highest cost m.
 */
async function check({ password, hash, costOfFailure }: Check): Promise<boolean> {
  if (await bcryptVerify({ password, hash })) return true;
  for (let cost = Number(hash.slice(4, 6)); cost < costOfFailure; cost++)
    await bcryptVerify({ password, hash: dummyHash(cost) });
  return false;
}
