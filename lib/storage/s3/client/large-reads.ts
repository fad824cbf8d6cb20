import { Agent, type AgentOptions, type ClientRequestArgs, type IncomingMessage } from 'node:http';
import type { OnReadOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import type { BodyReads, LargeReads } from './connections.ts';

/** What is being received over a connection, and how much of it at a time. */
interface Reading {
  readonly response: IncomingMessage;
  readonly reads: BodyReads;
}

/**
 * Connections that read half a megabyte at once where Node reads 64 KiB: each read wakes the server, and each write the
 * client, which took more than half of the CPU time of a download. All read into one buffer. Node's parser copies from it what
 * it passes on, before the next read.
 */
export class LargeReadAgent extends Agent {
  readonly #largeReads: LargeReads;
  readonly #buffer: Buffer;
  readonly #readings = new WeakMap<Duplex, Reading>();

  constructor(options: AgentOptions, largeReads: LargeReads) {
    super(options);
    this.#largeReads = largeReads;
    this.#buffer = Buffer.allocUnsafeSlow(largeReads.most);
  }

  /** Reads more at once as long as the reader of this response is fast. */
  received(response: IncomingMessage): void {
    const reads = this.#largeReads.start();
    this.#readings.set(response.socket, { response, reads });
    response.once('close', () => {
      reads.end();
    });
  }

  override createConnection(
    options: ClientRequestArgs,
    done?: (error: Error | null, connection: Duplex) => void,
  ): ReturnType<Agent['createConnection']> {
    const opened: { socket?: Duplex | null | undefined } = {};
    const onread: OnReadOpts = {
      // Asked for once before there is a socket, and then after each read.
      buffer: () => this.#buffer.subarray(0, this.#nextSize(opened.socket)),
      callback: (count, bytes) => {
        // Node's parser listens to this event alone. A read that is kept in the stream would be overwritten.
        opened.socket?.emit('data', bytes.subarray(0, count));
        return opened.socket?.isPaused() === false;
      },
    };
    // Without a buffer of its own, a response that is not read holds at most one read.
    opened.socket = super.createConnection({ ...options, ...{ onread, readableHighWaterMark: 0 } }, done);
    return opened.socket;
  }

  #nextSize(socket: Duplex | null | undefined): number {
    const reading = socket ? this.#readings.get(socket) : undefined;
    const isOver = reading === undefined || reading.response.complete || reading.response.destroyed;
    return isOver ? this.#largeReads.least : reading.reads.next();
  }
}
