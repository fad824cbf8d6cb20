import { AsyncLocalStorage } from 'node:async_hooks';

/*
 * A function that has answered is frozen, and goes on when the next request comes, which may be hours later. What it then
 * did of the request before would undo what others have done meanwhile. So whatever changes something asks just before
 * whether it still may.
 */

const current = new AsyncLocalStorage<Deadline>();

/** The time for some work, all that it calls included: when that is over, or the work was answered for, it changes nothing. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #outer = current.getStore();
  /** By the clock on the wall and by the monotonic one: the one may be set back, the other stands still in a frozen machine. */
  readonly #ends: readonly [wall: number, monotonic: number];

  /** @param milliseconds from now; also over when that of the work which this one is part of is */
  constructor(milliseconds: number) {
    this.#ends = [Date.now() + milliseconds, performance.now() + milliseconds];
    this.#outer?.signal.addEventListener('abort', () => {
      this.end();
    });
  }

  /** Aborted when the time is over: by itself only when it is asked for, as timers are late where a process was stopped. */
  get signal(): AbortSignal {
    const [wall, monotonic] = this.#ends;
    const isOver =
      Date.now() >= wall || performance.now() >= monotonic || this.#outer?.signal.aborted === true;
    if (isOver) this.end();
    return this.#controller.signal;
  }

  end(): void {
    this.#controller.abort();
  }

  /** Does the work under this deadline, which ends with it. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await current.run(this, work);
    } finally {
      this.end();
    }
  }
}

/** Of the work that this is part of, if that has a deadline: to be asked for just before each request and change. */
export function deadlineSignal(): AbortSignal | undefined {
  return current.getStore()?.signal;
}

/** @throws Error when the time for the work that this is part of is over */
export function assertNotExpired(): void {
  if (deadlineSignal()?.aborted === true)
    throw new Error('the request was answered before this could be done');
}

/** Does what others wait for as well, so that it must not end with the work that has begun it. */
export async function withoutDeadline<T>(work: () => Promise<T>): Promise<T> {
  return await current.exit(work);
}
