import { once } from 'node:events';
import { createServer as createHttpsServer } from 'node:https';
import { connect, type AddressInfo, type Server, type Socket } from 'node:net';
import { json } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { createServer as createTlsServer } from 'node:tls';
import { testCertificate, testKey } from '../../servers/certificate.ts';

/** A server of this process that speaks TLS with the test's certificate. */
export interface TlsService {
  /** `https://localhost:port` */
  readonly url: string;
  stop(): Promise<void>;
}

const tls = { cert: testCertificate, key: testKey };

/** Terminates TLS before a server of this machine. */
export async function encrypted(port: number): Promise<TlsService> {
  const server = createTlsServer(tls, (socket) => {
    // A side that hangs up ends the other.
    void pipeline(socket, connect(port, '127.0.0.1'), socket).catch(() => undefined);
  });
  return await listening(server);
}

/** A double of AWS Secrets Manager that answers GetSecretValue. @param secrets their texts by name or ARN */
export async function secretsManager(secrets: Readonly<Record<string, string>>): Promise<TlsService> {
  const server = createHttpsServer(tls, (request, response) => {
    void json(request).then((asked) => {
      const { SecretId } = asked as { readonly SecretId: string };
      response.writeHead(200, { 'Content-Type': 'application/x-amz-json-1.1' });
      response.end(JSON.stringify({ Name: SecretId, SecretString: secrets[SecretId], VersionId: '1' }));
    });
  });
  return await listening(server);
}

async function listening(server: Server): Promise<TlsService> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
