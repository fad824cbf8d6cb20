/**
 * Frees the memory of a buffer that nobody else uses, unless it is a part of a larger one. It is empty then. Otherwise V8 frees it at
 * its next collection; chunks of bodies fill memory so fast that collections took half of the CPU time of a push.
 */
export function freeBuffer({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
