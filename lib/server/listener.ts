import type { Server as HttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Logger } from 'pino';
import type { ListenConfig } from '../config/listen.ts';
import type { Limits } from '../http/limits.ts';
import type { Http2Endpoint } from './http2/endpoint.ts';
import { peek } from './peek.ts';
import { TlsEndpoint } from './tls.ts';
import { listenAtSocket } from './unix-socket.ts';

/** The system's maximum of connections that wait to be accepted: clients beyond it retry after seconds. */
const backlog = 4096;

/** The first bytes of a client of HTTP/2 (RFC 9113, section 3.4). No request of HTTP/1.1 begins so. */
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export interface ListenerOptions {
  readonly limits: Limits;
  /** Processes that share the limits of a server. */
  readonly workers: number;
  readonly log: Logger;
}

export interface Endpoints {
  /** Speaks HTTP/1.1. It listens itself where nothing else is spoken. */
  readonly http1: HttpServer;
  /** Undefined if HTTP/2 is off. */
  readonly http2: Http2Endpoint | undefined;
}

/** Accepts connections and gives each to the server of its protocol. */
export class Listener {
  /** What listens. It emits `close` after the last connection. */
  readonly server: Server;
  readonly #config: ListenConfig;
  readonly #endpoints: Endpoints;
  readonly #tls: TlsEndpoint | undefined;
  readonly #options: ListenerOptions;
  /** Connections whose protocol is not known yet. */
  readonly #unknown = new Set<Socket>();

  constructor(endpoints: Endpoints, config: ListenConfig, options: ListenerOptions) {
    this.#config = config;
    this.#endpoints = endpoints;
    this.#options = options;
    const { http1, http2 } = endpoints;
    this.#tls = config.tls && this.#createTls(config.tls);
    if (this.#tls === undefined && http2 === undefined) {
      this.server = http1;
      return;
    }
    this.server = createServer(connectionOptions, (socket: Socket) => {
      if (this.#tls === undefined) this.#acceptPlain(socket);
      else this.#tls.accept(socket);
    });
    // Node checks the timeouts of headers only in a server that listens.
    http1.emit('listening');
    this.server.once('close', () => http1.close());
  }

  #createTls(config: NonNullable<ListenConfig['tls']>): TlsEndpoint {
    const { http1, http2 } = this.#endpoints;
    const { limits, workers, log } = this.#options;
    const { handshakeTimeoutMs, lingerMs } = limits;
    const protocols = http2 === undefined ? ['http/1.1'] : ['h2', 'http/1.1'];
    const options = { config, protocols, handshakeTimeoutMs, lingerMs, log, workers };
    return new TlsEndpoint(options, (socket: TLSSocket) => {
      if (socket.alpnProtocol === 'h2') http2?.accept(socket);
      else http1.emit('connection', socket);
    });
  }

  /** HTTP/2 without TLS, by prior knowledge. */
  #acceptPlain(socket: Socket): void {
    const { http1, http2 } = this.#endpoints;
    const forget = () => {
      clearTimeout(timer);
      this.#unknown.delete(socket);
      socket.off('error', ignore).off('close', forget);
    };
    const toHttp1 = () => {
      forget();
      http1.emit('connection', socket);
    };
    const stop = peek(socket, (start) => {
      const common = Math.min(start.byteLength, preface.byteLength);
      if (!start.subarray(0, common).equals(preface.subarray(0, common))) return toHttp1;
      if (common < preface.byteLength) return undefined;
      return () => {
        forget();
        http2?.accept(socket);
      };
    });
    const timer = setTimeout(() => {
      stop();
      toHttp1();
    }, this.#options.limits.headersTimeoutMs).unref();
    this.#unknown.add(socket);
    socket.on('error', ignore).once('close', forget);
  }

  async listen(): Promise<void> {
    const { address } = this.#config;
    if ('path' in address) {
      await listenAtSocket(this.server, address.path, backlog);
      return;
    }
    const { host, port } = address;
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      // Without a host Node listens at all addresses, also on a system without IPv6.
      this.server.listen({ port, backlog, ...(host !== '::' && { host }) }, resolve);
    });
  }

  /** `http://host:port`, `https://host:port` or `unix:/path` */
  get url(): string {
    if ('path' in this.#config.address) return `unix:${this.#config.address.path}`;
    const bound = this.server.address() as AddressInfo;
    const { address, family, port } = bound;
    const scheme = this.#config.tls === undefined ? 'http' : 'https';
    return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  }

  /** Tells clients of HTTP/2 to begin no more requests here. */
  announceEnd(): void {
    this.#endpoints.http2?.announceEnd();
  }

  /** Closes the connections of HTTP/2. */
  closeAllConnections(): void {
    this.#endpoints.http2?.closeAllConnections();
  }

  /** Closes connections that have not got as far as a request, and those of HTTP/2 after their last one. */
  drain(): void {
    this.#tls?.stop();
    for (const socket of this.#unknown) socket.destroy();
    this.#endpoints.http2?.drain();
  }
}

const ignore = () => undefined;

/** As Node's HTTP server has them. */
const connectionOptions = { allowHalfOpen: true, noDelay: true, highWaterMark: 16 * 1024 };
