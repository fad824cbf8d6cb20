/** Does something once for all who ask for it meanwhile. */
export class SingleFlight<K, V> {
  readonly #flights = new Map<K, Promise<V>>();

  /** The result of the work for a key, which another one may have begun. */
  async run(key: K, work: () => Promise<V>): Promise<V> {
    const others = this.#flights.get(key);
    if (others !== undefined) return await others;
    const flight = work();
    this.#flights.set(key, flight);
    try {
      return await flight;
    } finally {
      this.#flights.delete(key);
    }
  }
}
