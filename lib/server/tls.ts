import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Certificates } from '../config/certificates.ts';
import type { TlsConfig } from '../config/tls.ts';
import { throttledWarning } from '../logging/logger.ts';
import { share } from '../concurrency/share.ts';
import { RegistryError } from '../protocol/errors.ts';
import { watchCertificates } from './certificate-renewal.ts';
import { peek } from './peek.ts';
import { rawResponse } from './valid-requests.ts';

/** Handshakes in progress in all workers. Beyond it the oldest ends: a client that is not slow takes milliseconds. */
const maxHandshakes = 1024;

/** The first byte of a handshake (RFC 8446, section 5.1). */
const handshakeRecord = 22;

export interface TlsEndpointOptions {
  readonly config: TlsConfig;
  /** Protocols that clients may choose by ALPN, the preferred one first. */
  readonly protocols: readonly string[];
  readonly handshakeTimeoutMs: number;
  /** How long a client that speaks plain HTTP has to read the response. */
  readonly lingerMs: number;
  readonly log: Logger;
  /** Processes that share the limit of handshakes. */
  readonly workers: number;
}

/** Encrypts connections. Handshakes are limited in time and number, and certificates are read again when they change. */
export class TlsEndpoint {
  readonly #server: Server;
  readonly #options: TlsEndpointOptions;
  /** Connections before the end of their handshake, oldest first, and their timers. */
  readonly #handshakes = new Map<Socket, NodeJS.Timeout>();
  /** Of clients, since a connection that is closed has forgotten its own. */
  readonly #addresses = new WeakMap<Socket, string | undefined>();
  readonly #warn: (fields: object) => void;
  readonly #stopWatching: () => void;

  /** @param onSecure takes a connection after its handshake */
  constructor(options: TlsEndpointOptions, onSecure: (socket: TLSSocket) => void) {
    this.#options = options;
    const { config, protocols, log } = options;
    this.#warn = throttledWarning(
      log,
      'a client was refused for its certificate, which must be valid and of an authority in REGISTRY_HTTP_TLS_CLIENTCAS',
    );
    this.#server = createServer({
      ...contextOptions(config, config.certificates),
      ALPNProtocols: [...protocols],
      requestCert: config.clientCertificates !== 'none',
      rejectUnauthorized: config.clientCertificates === 'required',
    });
    this.#server.on('secureConnection', (socket: TLSSocket) => {
      this.#endHandshake((socket as TLSSocket & WithParent)._parent);
      if (isUnauthorized(socket, config)) {
        this.#warnOfClient(socket);
        socket.destroy();
      } else onSecure(socket);
    });
    // Node has closed the connection. Other errors are of scanners and clients that went away.
    this.#server.on('tlsClientError', (_: Error, socket: TLSSocket) => {
      if (isRefused(socket)) this.#warnOfClient(socket);
    });
    this.#stopWatching = watchCertificates(config.files, log, (certificates) => {
      // For new connections; those in progress keep theirs.
      this.#server.setSecureContext(contextOptions(config, certificates));
    });
  }

  /** Takes a new connection. */
  accept(socket: Socket): void {
    const timer = setTimeout(() => socket.destroy(), this.#options.handshakeTimeoutMs).unref();
    this.#handshakes.set(socket, timer);
    this.#addresses.set(socket, socket.remoteAddress);
    this.#limitHandshakes();
    socket.on('error', () => undefined);
    socket.once('close', () => {
      this.#endHandshake(socket);
    });
    peek(socket, (start) => () => {
      if (start[0] === handshakeRecord) this.#server.emit('connection', socket);
      else this.#refusePlain(socket);
    });
  }

  /** Ends handshakes in progress, and the watch over the certificates. */
  stop(): void {
    this.#stopWatching();
    for (const socket of this.#handshakes.keys()) socket.destroy();
  }

  #warnOfClient(socket: TLSSocket): void {
    const { _parent: parent } = socket as TLSSocket & Partial<WithParent>;
    this.#warn({ client: parent && this.#addresses.get(parent), reason: String(socket.authorizationError) });
  }

  #limitHandshakes(): void {
    if (this.#handshakes.size <= share(maxHandshakes, this.#options.workers)) return;
    const [oldest] = this.#handshakes.keys();
    oldest?.destroy();
    if (oldest !== undefined) this.#endHandshake(oldest);
  }

  #endHandshake(socket: Socket): void {
    clearTimeout(this.#handshakes.get(socket));
    this.#handshakes.delete(socket);
  }

  /** Answers a client that speaks HTTP without TLS. */
  #refusePlain(socket: Socket): void {
    this.#endHandshake(socket);
    const advice = 'this port speaks TLS; use https:// in the URL';
    socket.end(rawResponse(new RegistryError('REQUEST_INVALID', advice)));
    // Unread bytes would turn the close into a reset, and the client would lose the response.
    socket.resume();
    setTimeout(() => socket.destroy(), this.#options.lingerMs).unref();
  }
}

interface WithParent {
  /** The connection below TLS. Node has no public name for it. */
  readonly _parent: Socket;
}

function contextOptions({ minVersion, ciphers }: TlsConfig, { cert, key, ca }: Certificates): TlsOptions {
  return {
    cert,
    key,
    minVersion,
    ...(ca.length > 0 && { ca: [...ca] }),
    ...(ciphers !== undefined && { ciphers }),
  };
}

/** Whether the handshake came to the client's certificate, and failed for it. Without a certificate, too. */
function isRefused({ authorizationError }: { readonly authorizationError?: unknown }): boolean {
  return authorizationError !== undefined && authorizationError !== null;
}

/** Whether a client has shown a certificate that is not valid. Node itself refuses those who must show one. */
function isUnauthorized(socket: TLSSocket, { clientCertificates }: TlsConfig): boolean {
  return (
    clientCertificates === 'optional' && !socket.authorized && socket.getPeerX509Certificate() !== undefined
  );
}
