/** A time in milliseconds for each number; 0 for none. */
export class Times {
  #times = new Float64Array(64);

  get(number: number): number {
    return this.#times[number] ?? 0;
  }

  set(number: number, time: number): void {
    if (number >= this.#times.length) {
      const larger = new Float64Array(Math.max(this.#times.length * 2, number + 1));
      larger.set(this.#times);
      this.#times = larger;
    }
    // Copies that keep no times may be of 1970.
    this.#times[number] = Math.max(1, time);
  }
}
