import { connect, type OnReadOpts, type Socket } from 'node:net';

/** Who reads what comes over a connection. */
export interface ConnectionReader {
  /** Asked for after each read: the next one goes into this buffer, or else into the connection's own, where it stays until the next. */
  nextBuffer(): Buffer | undefined;
  /** Whether there is to be another read. */
  readonly mayRead: boolean;
  take(bytes: Buffer): void;
  /** No more bytes come. */
  end(): void;
  fail(error?: Error): void;
  onTimeout(): void;
}

/** A connection whose bytes go into buffers of its reader. */
export class BodyConnection {
  readonly socket: Socket;
  readonly #own: Buffer;
  /** What is read into next. */
  #next: Buffer;
  #reader: ConnectionReader | undefined;

  /** @param ownBytes size of its own buffer */
  constructor(place: { readonly host: string; readonly port: number }, ownBytes: number) {
    this.#own = this.#next = Buffer.allocUnsafeSlow(ownBytes);
    const onread: OnReadOpts = {
      // Asked for once before there is a socket, and then after each call of the other function.
      buffer: () => this.#next,
      callback: (count, bytes) => {
        // What nobody asked for.
        if (this.#reader === undefined) this.socket.destroy();
        this.#reader?.take(Buffer.from(bytes.buffer, bytes.byteOffset, count));
        // It may have another reader now.
        this.#next = this.#reader?.nextBuffer() ?? this.#own;
        return this.#reader?.mayRead ?? true;
      },
    };
    this.socket = connect({ ...place, noDelay: true, onread });
    this.socket
      .on('error', (error) => this.#reader?.fail(error))
      .on('end', () => this.#reader?.end())
      .on('close', () => this.#reader?.fail())
      .on('timeout', () => {
        if (this.#reader === undefined) this.socket.destroy();
        else this.#reader.onTimeout();
      });
  }

  /** @param timeoutMs without traffic */
  use(reader: ConnectionReader, timeoutMs: number): void {
    this.#reader = reader;
    this.socket.setTimeout(timeoutMs).resume().ref();
  }

  /** Has no reader. It is closed after this time, and does not keep the process running. */
  rest(timeoutMs: number): void {
    this.#reader = undefined;
    this.socket.setTimeout(timeoutMs).resume().unref();
  }
}
