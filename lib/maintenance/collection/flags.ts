/** A byte of flags for each number, all 0 at first. */
export class Flags {
  #bytes = new Uint8Array(64);

  get(number: number): number {
    return this.#bytes[number] ?? 0;
  }

  has(number: number, flag: number): boolean {
    return (this.get(number) & flag) !== 0;
  }

  add(number: number, flags: number): void {
    if (number >= this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, number + 1));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[number] = this.get(number) | flags;
  }
}
