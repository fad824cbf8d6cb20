/** Where deliveries are logged: a part of pino. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Milliseconds between two errors about an endpoint. */
const errorsMs = 60_000;

/**
 * What operators read about endpoints: a warning for the first failure after an event was taken, and one error a minute at most for events
 * that were given up.
 */
export class DeliveryLog {
  readonly #log: Log;
  readonly #warned = new Set<string>();
  /** Endpoints that have taken nothing since a warning. */
  readonly #failing = new Set<string>();
  /** By endpoint with an error in the last minute: what was given up since, and why the last of that. */
  readonly #givenUp = new Map<string, { events: number; reason: string }>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** @param hasFailed whether it had failed before, and taken nothing since, as another process may have told */
  failed(endpoint: string, reason: string, hasFailed: boolean): void {
    const isTold = hasFailed || this.#failing.has(endpoint);
    this.#failing.add(endpoint);
    if (isTold) return;
    this.#log.warn({ endpoint, reason }, 'an endpoint did not take an event; its events wait in the storage');
  }

  failedPull(endpoint: string, reason: string): void {
    this.#once(
      endpoint,
      { reason },
      'an endpoint did not take the event of a pull; such events are kept in memory only',
    );
  }

  /** @param hasFailed as of {@link failed} */
  taken(endpoint: string, hasFailed = false): void {
    if (!this.#failing.delete(endpoint) && !hasFailed) return;
    this.#log.info({ endpoint }, 'an endpoint takes events again');
  }

  slow(endpoint: string): void {
    this.#log.info({ endpoint }, 'an endpoint is slow; its events wait in the storage');
  }

  gaveUp(endpoint: string, events: number, reason: string): void {
    const more = this.#givenUp.get(endpoint);
    if (more !== undefined) {
      more.events += events;
      more.reason = reason;
      return;
    }
    this.#log.error(
      { endpoint, events, reason },
      'events were given up; `stowage events list` shows them, `stowage events replay` sends them again',
    );
    const next = { events: 0, reason };
    this.#givenUp.set(endpoint, next);
    setTimeout(() => {
      this.#givenUp.delete(endpoint);
      if (next.events > 0) this.gaveUp(endpoint, next.events, next.reason);
    }, errorsMs).unref();
  }

  redirected(endpoint: string, status: string): void {
    this.#once(
      endpoint,
      { status },
      'an endpoint redirects; the event counts as taken, and the redirect is not followed: name the URL that it redirects to',
    );
  }

  /** There are events for an endpoint that the settings do not have. */
  removed(endpoint: string): void {
    this.#once(
      endpoint,
      {},
      `events wait for an endpoint that is not in the settings; add it, or run \`stowage events purge ${endpoint} --waiting\``,
    );
  }

  unavailable(error: unknown): void {
    this.#log.warn({ err: error }, 'events cannot be delivered at the moment; they are tried again');
  }

  #once(endpoint: string, fields: object, message: string): void {
    if (this.#warned.has(message + endpoint)) return;
    this.#warned.add(message + endpoint);
    this.#log.warn({ endpoint, ...fields }, message);
  }
}
