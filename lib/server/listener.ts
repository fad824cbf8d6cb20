import type { Server as HttpServer } from 'node:http';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import type { Logger } from 'pino';
import type { ListenConfig } from '../config/listen.ts';
import type { Limits } from '../http/limits.ts';
import { TlsEndpoint } from './tls.ts';
import { listenAtSocket } from './unix-socket.ts';

/** The system's maximum of connections that wait to be accepted: clients beyond it retry after seconds. */
const backlog = 4096;

/** Accepts connections and gives each to the server of its protocol. */
export class Listener {
  /** What listens. It emits `close` after the last connection. */
  readonly server: Server;
  readonly #tls: TlsEndpoint | undefined;
  readonly #config: ListenConfig;

  /** @param http1 speaks HTTP/1.1. Without TLS it listens itself */
  constructor(http1: HttpServer, config: ListenConfig, { limits, log }: { limits: Limits; log: Logger }) {
    this.#config = config;
    const { handshakeTimeoutMs, lingerMs } = limits;
    if (config.tls === undefined) {
      this.server = http1;
      return;
    }
    const options = { config: config.tls, protocols: ['http/1.1'], handshakeTimeoutMs, lingerMs, log };
    const tls = (this.#tls = new TlsEndpoint(options, (socket) => http1.emit('connection', socket)));
    this.server = createTcpServer(connectionOptions, (socket: Socket) => {
      tls.accept(socket);
    });
    // Node checks the timeouts of headers only in a server that listens.
    http1.emit('listening');
    this.server.once('close', () => http1.close());
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
    const bound = this.server.address();
    if (bound === null || typeof bound === 'string') return `unix:${bound ?? ''}`;
    const { address, family, port } = bound;
    const scheme = this.#config.tls === undefined ? 'http' : 'https';
    return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  }

  /** Closes connections that have not got as far as a request. */
  drain(): void {
    this.#tls?.stop();
  }
}

/** As Node's HTTP server has them. */
const connectionOptions = { allowHalfOpen: true, noDelay: true, highWaterMark: 16 * 1024 };
