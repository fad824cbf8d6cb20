import { RegistryError } from '../../protocol/errors.ts';
import { Attempts, defaultAttemptLimits, tooMany, type Attempt, type AttemptThrottle } from './attempts.ts';

/*
 * Workers of a server count wrong passwords together, in their primary process: a limit of each of them would either be passed
 * by spreading guesses over connections, or refuse users after a few wrong passwords.
 */

/** What a worker asks of its primary process. */
export type AttemptRequest =
  | {
      readonly attempts: 'check' | 'begin';
      /** Chosen by the worker; of an attempt for `begin`. */
      readonly id: number;
      readonly user: string;
      readonly client: string;
    }
  | { readonly attempts: 'end'; readonly id: number; readonly wrong: boolean };

/** The response to `check` and `begin`. */
export interface AttemptResponse {
  readonly attempts: 'response';
  readonly id: number;
  /** Seconds until the next attempt may begin, if this one may not. */
  readonly retryAfter: number | undefined;
}

export function isAttemptRequest(message: unknown): message is AttemptRequest {
  return typeof message === 'object' && message !== null && 'attempts' in message;
}

/** How long the primary process may take. */
const responseTimeoutMs = 5_000;

/** Asks the primary process. */
export class SharedAttempts implements AttemptThrottle {
  readonly #send: (request: AttemptRequest) => void;
  readonly #waiting = new Map<number, (retryAfter: number | undefined) => void>();
  #lastId = 0;

  constructor(send: (request: AttemptRequest) => void) {
    this.#send = send;
  }

  /** Takes a message of the primary process. */
  receive(message: unknown): void {
    if (!isResponse(message)) return;
    this.#waiting.get(message.id)?.(message.retryAfter);
  }

  async assertAllowed(user: string, client: string): Promise<void> {
    await this.#ask('check', user, client);
  }

  async begin(user: string, client: string): Promise<Attempt> {
    const id = await this.#ask('begin', user, client);
    return {
      end: (wrong) => {
        this.#send({ attempts: 'end', id, wrong });
      },
    };
  }

  /** @returns the id of the request */
  async #ask(attempts: 'check' | 'begin', user: string, client: string): Promise<number> {
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
    const timer = setTimeout(() => {
      reject(new RegistryError('UNAVAILABLE', 'the registry cannot check passwords now; try again'));
    }, responseTimeoutMs);
    this.#waiting.set(id, resolve);
    try {
      this.#send({ attempts, id, user, client });
      const retryAfter = await promise;
      if (retryAfter !== undefined) throw tooMany(retryAfter);
      return id;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }
}

/** In a worker. */
export function attemptsOfAllWorkers(): AttemptThrottle {
  const shared = new SharedAttempts((request) => process.send?.(request));
  process.on('message', (message) => {
    shared.receive(message);
  });
  return shared;
}

function isResponse(message: unknown): message is AttemptResponse {
  return isAttemptRequest(message) && (message as { attempts: string }).attempts === 'response';
}

/** Counts the attempts of all workers. @typeParam Worker identifies one */
export class AttemptCounter<Worker extends object> {
  readonly #attempts = new Attempts(defaultAttemptLimits);
  /** In progress. */
  readonly #begun = new WeakMap<Worker, Map<number, Attempt>>();

  /** @returns the response, if the request has one */
  answer(worker: Worker, request: AttemptRequest): AttemptResponse | undefined {
    const begun = this.#begun.get(worker) ?? new Map<number, Attempt>();
    this.#begun.set(worker, begun);
    if (request.attempts === 'end') {
      begun.get(request.id)?.end(request.wrong);
      begun.delete(request.id);
      return undefined;
    }
    const { attempts, id, user, client } = request;
    try {
      if (attempts === 'check') this.#attempts.assertAllowed(user, client);
      else begun.set(id, this.#attempts.begin(user, client));
      return { attempts: 'response', id, retryAfter: undefined };
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      return { attempts: 'response', id, retryAfter: Number(error.headers['Retry-After']) };
    }
  }

  /** Ends the attempts of a worker that has ended, as wrong ones. */
  forget(worker: Worker): void {
    for (const attempt of this.#begun.get(worker)?.values() ?? []) attempt.end(true);
    this.#begun.delete(worker);
  }
}
