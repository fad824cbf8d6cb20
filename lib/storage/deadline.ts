import { AsyncLocalStorage } from 'node:async_hooks';

/*
 * A function is frozen after it has responded and resumes with the next request, which may be hours later. Leftover work
 * of the earlier request could then undo what others have done meanwhile. So every change checks its deadline first.
 */

const current = new AsyncLocalStorage<Deadline>();

/** Bounds work and all its calls. Once it has expired or the work has finished, that work changes nothing more. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #outer = current.getStore();
  /** In wall-clock and in monotonic time: the wall clock may be set back, the monotonic one stops in a frozen machine. */
  readonly #ends: readonly [wall: number, monotonic: number];

  /** @param milliseconds from now; an enclosing deadline applies as well */
  constructor(milliseconds: number) {
    this.#ends = [Date.now() + milliseconds, performance.now() + milliseconds];
    this.#outer?.signal.addEventListener('abort', () => {
      this.end();
    });
  }

  /** Aborted after expiry. Checks the clocks when read, since timers fire late in a process that was suspended. */
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

  /** Runs work under this deadline, which ends with the work. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await current.run(this, work);
    } finally {
      this.end();
    }
  }
}

/** The signal of the current deadline, if any. Read it just before each request or change. */
export function deadlineSignal(): AbortSignal | undefined {
  return current.getStore()?.signal;
}

/** @throws Error if the current deadline has expired */
export function assertNotExpired(): void {
  if (deadlineSignal()?.aborted === true)
    throw new Error('the request was answered before this could be done');
}

/** Runs work that other requests share, so it must outlive the request that started it. */
export async function withoutDeadline<T>(work: () => Promise<T>): Promise<T> {
  return await current.exit(work);
}
