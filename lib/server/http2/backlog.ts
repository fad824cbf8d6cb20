import type { ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { share } from '../../concurrency/share.ts';

/*
 * Node takes all that arrives, up to the window of each stream, and keeps what the application does not read. So a connection
 * is not read while too much of it waits. Its other streams wait as well: that is the price for bounded memory.
 */

/** Bytes that wait on one connection. */
const maxPerConnection = 4 * 1024 * 1024;

/** Bytes that wait on all connections of all workers. Each connection may have what Node reads at once. */
const maxTotal = 64 * 1024 * 1024;
const minPerConnection = 64 * 1024;

/** What a piece costs beside its bytes: clients may send single ones. */
const pieceBytes = 256;

/** How often a connection that is not read is looked at. */
const intervalMs = 4;

/** The connections whose backlogs share memory. */
const connections = new Set<Backlog>();

/** Bytes of requests that arrived on a connection and wait to be read. */
export class Backlog {
  readonly #socket: Socket;
  /** Bytes that wait on all connections of this process. */
  readonly #total: number;
  /** Pieces that have arrived on each stream since all of them were read. */
  readonly #pieces = new Map<ServerHttp2Stream, number>();
  /** Since the last check. */
  #arrived = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param workers processes that share the memory */
  constructor(socket: Socket, workers = 1) {
    this.#socket = socket;
    this.#total = share(maxTotal, workers);
    connections.add(this);
    socket.once('close', () => {
      connections.delete(this);
      clearInterval(this.#timer);
    });
  }

  /** @param unread bytes that wait beside those in the stream */
  watch(stream: ServerHttp2Stream, unread: () => number): void {
    const push = stream.push.bind(stream);
    stream.push = (chunk: Buffer | null) => {
      if (chunk === null) return push(null);
      this.#pieces.set(stream, (this.#pieces.get(stream) ?? 0) + 1);
      this.#arrived += chunk.byteLength + pieceBytes;
      const pushed = push(compact(chunk));
      this.#check();
      return pushed;
    };
    this.#unread.set(stream, unread);
    stream.once('close', () => {
      this.#pieces.delete(stream);
      this.#unread.delete(stream);
    });
  }

  readonly #unread = new Map<ServerHttp2Stream, () => number>();

  get #limit(): number {
    return Math.max(minPerConnection, Math.min(maxPerConnection, this.#total / connections.size));
  }

  #check(): void {
    const limit = this.#limit;
    if (this.#timer !== undefined || this.#arrived < limit / 4) return;
    this.#arrived = 0;
    if (this.#size() <= limit) return;
    const handle = (this.#socket as SocketWithHandle)._handle;
    handle?.readStop();
    this.#timer = setInterval(() => {
      if (this.#size() > this.#limit / 2) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
      if (!this.#socket.destroyed) handle?.readStart();
    }, intervalMs).unref();
  }

  #size(): number {
    let size = 0;
    for (const [stream, pieces] of this.#pieces) {
      const bytes = stream.readableLength + (this.#unread.get(stream)?.() ?? 0);
      if (bytes === 0) this.#pieces.delete(stream);
      else size += bytes + pieces * pieceBytes;
    }
    return size;
  }
}

/** Node's session reads the connection below the streams of JavaScript, so that `pause` does not reach it. */
type SocketWithHandle = Socket & { readonly _handle: { readStop(): void; readStart(): void } | null };

/** A small piece keeps the whole packet in memory that it arrived in. */
function compact(chunk: Buffer): Buffer {
  return chunk.byteLength * 4 < chunk.buffer.byteLength ? Buffer.from(chunk) : chunk;
}
