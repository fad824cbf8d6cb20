import type { IncomingHttpHeaders } from 'node:http';

export interface Ask {
  readonly method: string;
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Sends the body without its length, as docker does. */
  readonly chunked?: boolean;
  /** Whether a large body comes back. */
  readonly large?: boolean;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** For messages: method and URL, without its query, which may authorize. */
  readonly asked: string;
  readonly url: URL;
}
