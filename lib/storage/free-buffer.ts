import type { Readable } from 'node:stream';

/** A stream that reads into the same memory again, once its reader agrees to free each chunk with {@link freeBuffer}. */
export interface LendingBody extends Readable {
  lendsChunks: boolean;
}

/** What to call once a buffer that was lent is free again. */
const lent = new WeakMap<ArrayBufferLike, () => boolean>();

/**
 * Lends the memory of a chunk to whoever gets the chunk, until they free it.
 * @param takeBack called once they have; returns whether the owner still needs it
 */
export function lendBuffer({ buffer }: Uint8Array, takeBack: () => boolean): void {
  lent.set(buffer, takeBack);
}

/**
 * Frees the memory of a buffer that nobody else uses, unless it is a part of a larger one. It is empty then. Otherwise V8 frees it at
 * its next collection; chunks of bodies fill memory so fast that collections took half of the CPU time of a push. Memory that was
 * lent goes back to its owner.
 */
export function freeBuffer({ buffer, byteLength }: Uint8Array): void {
  const takeBack = lent.get(buffer);
  lent.delete(buffer);
  if (takeBack?.() === true) return;
  const isWhole = buffer.byteLength === byteLength || takeBack !== undefined;
  if (buffer instanceof ArrayBuffer && isWhole) buffer.transfer(0);
}
