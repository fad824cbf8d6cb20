import type { Socket } from 'node:net';

/**
 * Looks at the first bytes of a connection and leaves them to be read.
 * @param decide is called with all bytes so far, until it returns a function, which then takes the connection over
 * @returns a function that ends the wait and leaves all bytes to be read
 */
export function peek(socket: Socket, decide: (start: Buffer) => (() => void) | undefined): () => void {
  let start: Buffer = Buffer.alloc(0);
  const stop = () => {
    socket.off('readable', read).off('end', end);
    if (start.byteLength > 0 && !socket.destroyed) socket.unshift(start);
  };
  const read = () => {
    const bytes = socket.read() as Buffer | null;
    if (bytes === null) return;
    start = Buffer.concat([start, bytes]);
    const takeOver = decide(start);
    if (takeOver === undefined) return;
    stop();
    takeOver();
  };
  const end = () => {
    socket.destroy();
  };
  socket.on('readable', read).on('end', end);
  return stop;
}
