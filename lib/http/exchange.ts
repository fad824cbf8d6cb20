import { ServerResponse, type IncomingMessage } from 'node:http';
import { pipeline, Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { countSent } from '../request-scope.ts';
import { countWrites } from './count-writes.ts';

/** Strings are sent as UTF-8. */
export type Body = string | Buffer | Readable;

/** Statuses of responses that have no body, and no headers about it. */
const withoutBody: ReadonlySet<number> = new Set([204, 304]);

/** Bytes up to which a body goes into one text with the headers: one write of a text is faster than one of two buffers. */
const maxTextBytes = 8 * 1024;

/** A request and its response, which is sent when the work for it has ended. */
export class Exchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly method: string;
  /** Names and values by turns. Node takes them faster together than one by one. */
  readonly #headers: (string | string[])[] = [];
  #body: Body = '';

  constructor(req: IncomingMessage, res: ServerResponse) {
    this.req = req;
    this.res = res;
    this.method = req.method ?? '';
  }

  /** A header of the request; empty if there is none. @param name as Node has it, in small letters */
  get(name: Lowercase<string>): string {
    const value = this.req.headers[name];
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
    const at = this.#indexOf(name);
    if (at < 0) this.#headers.push(name, value);
    else this.#headers[at + 1] = value;
  }

  /** Adds a name to the header Vary (RFC 9110, section 12.5.5). */
  vary(name: string): void {
    const at = this.#indexOf('Vary');
    const names = at < 0 ? [] : String(this.#headers[at + 1]).split(/\s*,\s*/);
    const isNamed = names.some((one) => one === '*' || one.toLowerCase() === name.toLowerCase());
    if (!isNamed) this.set('Vary', [...names, name].join(', '));
  }

  get status(): number {
    return this.res.statusCode;
  }

  set status(status: number) {
    // Work goes on after the response to a request that took too long.
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
    const body = this.#body;
    const isBodiless = withoutBody.has(this.status);
    if (isBodiless) {
      this.#remove('Content-Type');
      this.#remove('Content-Length');
    }
    const hasBody = this.method !== 'HEAD' && !isBodiless && this.#isWritable;
    if (!(body instanceof Readable)) this.#sendWhole(hasBody ? body : '');
    else if (hasBody) this.#stream(body, onBroken);
    else {
      body.destroy();
      this.#sendWhole('');
    }
  }

  #sendWhole(body: string | Buffer): void {
    const { res } = this;
    if (!this.#isWritable) {
      res.end();
      return;
    }
    // HTTP/2's would send the headers apart from the body, and serverless-http's takes no list.
    if (res.writeHead === ServerResponse.prototype.writeHead) res.writeHead(this.status, this.#headers);
    else this.#setHeaders();
    const { length } = body;
    if (length === 0) {
      res.end();
      return;
    }
    countSent(Buffer.byteLength(body));
    if (typeof body === 'string' || length > maxTextBytes) res.end(body);
    else res.end(body.toString('latin1'), 'latin1');
  }

  #stream(body: Readable, onBroken: (error: Error) => void): void {
    const { res } = this;
    this.#setHeaders();
    countWrites(res);
    pipeline(body, res, (error) => {
      if (error) onBroken(error);
    });
  }

  #setHeaders(): void {
    for (let at = 0; at < this.#headers.length; at += 2)
      this.res.setHeader(String(this.#headers[at]), this.#headers[at + 1] ?? '');
  }

  #remove(name: string): void {
    const at = this.#indexOf(name);
    if (at >= 0) this.#headers.splice(at, 2);
  }

  /** Names are the same in small and capital letters. */
  #indexOf(name: string): number {
    const { length } = this.#headers;
    for (let at = 0; at < length; at += 2) {
      const one = this.#headers[at] as string;
      if (one === name || (one.length === name.length && one.toLowerCase() === name.toLowerCase())) return at;
    }
    return -1;
  }

  /** Whether the client still waits for it. */
  get #isWritable(): boolean {
    const { writableEnded, socket } = this.res;
    return !writableEnded && (socket?.writable ?? true);
  }
}
