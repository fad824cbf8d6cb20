/**
 * What a process may hold in memory of parts on their way to the store, beyond the one part that every upload may: many
 * uploads at once share it, a single one goes as fast as it allows. Buffers that are given back are used again.
 */
export class PartMemory {
  #free: number;
  readonly #buffers: Buffer[] = [];

  /** @param bytes to share */
  constructor(bytes: number) {
    this.#free = bytes;
  }

  /** Takes so many bytes, if they are free. @returns whether they were */
  take(bytes: number): boolean {
    if (bytes > this.#free) return false;
    this.#free -= bytes;
    return true;
  }

  /** Gives back what {@link take} took, with the buffer it was used for. */
  give(bytes: number, buffer?: Buffer): void {
    this.#free += bytes;
    // A larger one would count for less than it is.
    if (buffer !== undefined && buffer.byteLength <= bytes) this.#buffers.push(buffer);
  }

  /** A buffer that was given back, of any size, if there is one. */
  buffer(): Buffer | undefined {
    return this.#buffers.pop();
  }
}

/** Bytes that the uploads of a process share: eight parts of the usual size. */
export const sharedPartMemory = 64 * 1024 * 1024;
