/** Deduplicates concurrent work: callers with the same key share one result. */
export class SingleFlight<K, V> {
  readonly #flights = new Map<K, Promise<V>>();

  async run(key: K, work: () => Promise<V>): Promise<V> {
    const inFlight = this.#flights.get(key);
    if (inFlight !== undefined) return await inFlight;
    const flight = work();
    this.#flights.set(key, flight);
    try {
      return await flight;
    } finally {
      this.#flights.delete(key);
    }
  }
}
