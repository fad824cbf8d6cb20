/** Most folders with a sample: with keys of 150 bytes, about 5 MB. */
const maxSamples = 20_000;

/**
 * One object for each folder that was found to have some. While it exists, the folder still has objects, however deep they
 * are: so a list of repositories takes one look-up for each instead of reading several folders.
 */
export class SampleObjects {
  /** The keys of objects by those of their folders; the oldest first. */
  readonly #keys = new Map<string, string>();

  get(folder: string): string | undefined {
    return this.#keys.get(folder);
  }

  set(folder: string, key: string): void {
    this.#keys.delete(folder);
    this.#keys.set(folder, key);
    if (this.#keys.size <= maxSamples) return;
    const [oldest = ''] = this.#keys.keys();
    this.#keys.delete(oldest);
  }

  delete(folder: string): void {
    this.#keys.delete(folder);
  }
}
