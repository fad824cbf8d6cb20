import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline, Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';

/** Strings are sent as UTF-8. */
export type Body = string | Buffer | Readable;

/** Statuses of responses that have no body, and no headers about it. */
const withoutBody: ReadonlySet<number> = new Set([204, 304]);

/** A request and its response, which is sent when the work for it has ended. */
export class Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly method: string;
  #body: Body = '';

  constructor(req: IncomingMessage, res: ServerResponse) {
    this.req = req;
    this.res = res;
    this.method = req.method ?? '';
  }

  /** A header of the request; empty if there is none. */
  get(name: string): string {
    const value = this.req.headers[name.toLowerCase()];
    return typeof value === 'string' ? value : (value?.join(', ') ?? '');
  }

  /** `https` if the request came here over TLS. */
  get protocol(): 'http' | 'https' {
    return (this.req.socket as Partial<TLSSocket>).encrypted === true ? 'https' : 'http';
  }

  /** The host that the client asked, with its port; empty if it names none. */
  get host(): string {
    return this.req.headers.host ?? '';
  }

  /** Sets a header of the response. */
  set(name: string, value: string | string[]): void {
    // Work goes on after the response to a request that took too long.
    if (!this.res.headersSent) this.res.setHeader(name, value);
  }

  /** Adds a name to the header Vary (RFC 9110, section 12.5.5). */
  vary(name: string): void {
    const names = String(this.res.getHeader('Vary') ?? '').split(/\s*,\s*/);
    const isNamed = names.some((one) => one === '*' || one.toLowerCase() === name.toLowerCase());
    if (!isNamed) this.set('Vary', [...names.filter((one) => one !== ''), name].join(', '));
  }

  get status(): number {
    return this.res.statusCode;
  }

  set status(status: number) {
    if (!this.res.headersSent) this.res.statusCode = status;
  }

  get body(): Body {
    return this.#body;
  }

  /** Sets the body with its length, if that is known, in place of an earlier one. */
  set body(body: Body) {
    if (this.#body instanceof Readable) this.#body.destroy();
    this.#body = body;
    if (body instanceof Readable) {
      if (this.res.headersSent) body.destroy();
    } else this.length = Buffer.byteLength(body);
  }

  /** The length of the body in bytes, or of the one that a GET would have. */
  set length(bytes: number) {
    this.set('Content-Length', String(bytes));
  }

  /** @param onBroken called if the response broke off after its start */
  send(onBroken: (error: Error) => void): void {
    const { res } = this;
    const body = this.#body;
    const hasBody = this.method !== 'HEAD' && !withoutBody.has(this.status);
    if (withoutBody.has(this.status)) {
      res.removeHeader('Content-Type');
      res.removeHeader('Content-Length');
    }
    if (this.#isWritable && hasBody && body instanceof Readable)
      pipeline(body, res, (error) => {
        if (error) onBroken(error);
      });
    else {
      if (body instanceof Readable) body.destroy();
      if (this.#isWritable && hasBody && !(body instanceof Readable)) res.end(body);
      else res.end();
    }
  }

  /** Whether the client still waits for it. */
  get #isWritable(): boolean {
    const { writableEnded, socket } = this.res;
    return !writableEnded && (socket?.writable ?? true);
  }
}
