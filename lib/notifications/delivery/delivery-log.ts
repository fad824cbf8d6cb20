/** Where deliveries are logged: a part of pino. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** What operators read about endpoints. Nothing of it is logged for each event that fails. */
export class DeliveryLog {
  readonly #log: Log;
  readonly #warned = new Set<string>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** @param failures in a row */
  failed(endpoint: string, reason: string, failures: number): void {
    if (failures === 1)
      this.#log.warn(
        { endpoint, reason },
        'an endpoint did not take an event; its events wait in the bucket',
      );
  }

  failedPull(endpoint: string, reason: string): void {
    this.#once(
      endpoint,
      { reason },
      'an endpoint did not take the event of a pull; such events are kept in memory only',
    );
  }

  recovered(endpoint: string): void {
    this.#log.info({ endpoint }, 'an endpoint takes events again');
  }

  slow(endpoint: string): void {
    this.#log.info({ endpoint }, 'an endpoint is slow; its events wait in the bucket');
  }

  gaveUp(endpoint: string, events: number, reason: string): void {
    this.#log.error(
      { endpoint, events, reason },
      'events were given up; `stowage events list` shows them, `stowage events replay` sends them again',
    );
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
