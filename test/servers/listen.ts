import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A server of this process. */
export interface Listening {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /** Ends it and its connections. */
  stop(): Promise<void>;
}

/** Has a server listen on loopback. @param port any that is free, unless given */
export async function listen(server: Server, port = 0): Promise<Listening> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
