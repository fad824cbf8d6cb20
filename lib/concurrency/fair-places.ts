/**
 * Places that clients share. A client gets another one only while it has fewer than are free: the first can take
 * half of them, and the next half of the rest. So a client that has few finds some free, whatever others do.
 */
export class FairPlaces {
  readonly #total: number;
  /** Only clients with places take memory. */
  readonly #taken = new Map<string, number>();
  #free: number;

  constructor(total: number) {
    this.#total = total;
    this.#free = total;
  }

  /** @returns whether the client got a place, which it must release */
  take(client: string): boolean {
    const taken = this.#taken.get(client) ?? 0;
    if (taken >= this.#free) return false;
    this.#taken.set(client, taken + 1);
    this.#free--;
    return true;
  }

  release(client: string): void {
    const taken = this.#taken.get(client) ?? 0;
    if (taken === 0) return;
    this.#free++;
    if (taken === 1) this.#taken.delete(client);
    else this.#taken.set(client, taken - 1);
  }

  /** Whether half of them are taken: as many as one client can take. */
  get isScarce(): boolean {
    return 2 * this.#free <= this.#total;
  }
}
