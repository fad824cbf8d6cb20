/*
 * Computes SHA-256 in a thread. This module is both the starter and the thread, so load it by `import()` only: then it is a
 * separate file in every bundle.
 */
import { createHash } from 'node:crypto';
import { parentPort, Worker, workerData, type MessagePort } from 'node:worker_threads';

/**
 * What the thread does, for one blob at a time:
 * - `start`: begins a blob, whatever was there before
 * - bytes: adds them
 * - `digest`: ends the blob
 * - `forget`: ends it without a digest
 */
export type HashTask = 'start' | 'digest' | 'forget' | Uint8Array;

/** The answer to each task, in their order: the digest in hexadecimal, or true. */
export type HashAnswer = string | true;

/** Identifies the threads of this module. */
const mark = 'stowage: sha256';

/** Starts a thread. For each {@link HashTask} that is posted to it, it posts a {@link HashAnswer}. */
export function startWorker(): Worker {
  // It makes little garbage, and what it has seen of the memory for uploads is freed with that.
  return new Worker(new URL(import.meta.url), {
    workerData: mark,
    resourceLimits: { maxYoungGenerationSizeMb: 1 },
  });
}

if (workerData === mark && parentPort !== null) work(parentPort);

function work(port: MessagePort): void {
  let hash = createHash('sha256');
  const perform = (task: HashTask): HashAnswer => {
    if (task === 'digest') return hash.digest('hex');
    if (typeof task === 'string') hash = createHash('sha256');
    else hash.update(task);
    return true;
  };
  port.on('message', (task: HashTask) => {
    port.postMessage(perform(task));
  });
}
