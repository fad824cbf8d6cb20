/** The bytes of a blob as they come from an upstream, in portions of any size. */
export class BlobPieces {
  readonly #pieces: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);
  #failure: { readonly error: unknown } | undefined;

  constructor(body: AsyncIterable<Buffer>) {
    this.#pieces = body[Symbol.asyncIterator]();
  }

  /** Exactly the next bytes, or an error. */
  async *exactly(bytes: number): AsyncGenerator<Buffer, void> {
    yield* this.upTo(bytes, () => false);
    this.assertGood();
  }

  /** The next bytes: fewer if work is over, or if the connection breaks, which {@link assertGood} tells. */
  async *upTo(bytes: number, isOver: () => boolean): AsyncGenerator<Buffer, void> {
    for (let left = bytes; left > 0 && !isOver();) {
      const piece = this.#rest.length > 0 ? this.#rest : await this.#next();
      if (piece === undefined) return;
      const taken = piece.subarray(0, left);
      this.#rest = piece.subarray(taken.length);
      left -= taken.length;
      yield taken;
    }
  }

  /** @throws what reading has failed with */
  assertGood(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #next(): Promise<Buffer | undefined> {
    try {
      const next = await this.#pieces.next();
      return next.done === true ? undefined : next.value;
    } catch (error) {
      this.#failure = { error };
      return undefined;
    }
  }
}
