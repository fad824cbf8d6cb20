import type { Worker } from 'node:cluster';

/**
 * Asks workers, some of which may hang. One that has not answered is not asked again, so that messages do not pile up; its late
 * answer goes to whoever waits then.
 */
export class Questions<Answer> {
  readonly #question: object;
  /** Of each worker that has been asked and has not answered: who waits for it. */
  readonly #waiting = new Map<Worker, Set<(answer: Answer) => void>>();

  /** @param question the message that asks */
  constructor(question: object) {
    this.#question = question;
  }

  /** @returns the worker's answer, or `silent` if it takes longer */
  async ask(worker: Worker, withinMs: number, silent: Answer): Promise<Answer> {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const waiting = this.#waiting.get(worker) ?? this.#send(worker);
    waiting.add(resolve);
    const timer = setTimeout(resolve, withinMs, silent);
    const answer = await promise;
    clearTimeout(timer);
    waiting.delete(resolve);
    return answer;
  }

  /** To be called when a worker answers, and when it ends. */
  answered(worker: Worker, answer: Answer): void {
    for (const resolve of this.#waiting.get(worker) ?? []) resolve(answer);
    this.#waiting.delete(worker);
  }

  #send(worker: Worker): Set<(answer: Answer) => void> {
    const waiting = new Set<(answer: Answer) => void>();
    this.#waiting.set(worker, waiting);
    // One that cannot be reached is about to end.
    if (worker.isConnected()) worker.send(this.#question, () => undefined);
    return waiting;
  }
}
