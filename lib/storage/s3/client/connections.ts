import type { ResponseHeaders } from './errors.ts';

/** Connections at most. */
export const maxConnections = 256;

export const connectTimeoutMs = 5_000;

/** Timeout for a connection without traffic in the middle of a body. */
export const idleTimeoutMs = 5 * 60_000;

/** An unused connection is closed after this time, or a shorter one if the server names it. */
export const unusedTimeoutMs = 60_000;

export type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';

/** A request as it goes out. */
export interface Dispatch {
  readonly method: Method;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array | null;
  /** Whether the response is not read into memory. */
  readonly streams: boolean;
  /** Bytes of the response at most, if they are known. */
  readonly length?: number;
}

/** How much of a large body is read at once, in bytes. */
export interface LargeReads {
  readonly least: number;
  /** Keeps the memory of a chunk as it is until its reader frees it. `takeBack` is called then, and returns whether it is still needed. */
  readonly lend: (chunk: Uint8Array, takeBack: () => boolean) => void;
  /** For one body. */
  start(): BodyReads;
}

export interface BodyReads {
  /** The size of the next read. */
  next(): number;
  /** Called once the body has been read, or given up. */
  end(): void;
}

/** What the reader of a response may do to its connection. */
export interface Controller {
  /** Whether it reads so much at once that nothing is to be read ahead. */
  readonly hasLargeReads?: boolean;
  /** Whether whoever gets the chunks frees each, after which its memory is read into again. */
  lendsChunks?: boolean;
  abort(reason: Error): void;
  pause(): void;
  resume(): void;
}

/** Is told of a response, as undici tells it. */
export interface ResponseHandler {
  onRequestStart(controller: Controller): void;
  onResponseStart(controller: Controller, status: number, headers: ResponseHeaders): void;
  onResponseData(controller: Controller, chunk: Buffer): void;
  onResponseEnd(): void;
  onResponseError(controller: Controller, error: Error): void;
}

/** Connections to a server. */
export interface Connections {
  dispatch(request: Dispatch, handler: ResponseHandler): void;
  destroy(): void;
}
