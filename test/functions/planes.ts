import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { keepSecrets } from '../logs/kept.ts';
import { startGateway } from '../servers/gateway.ts';
import { handlers } from '../servers/handlers.ts';
import { freePort } from '../servers/ports.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';

/** Every way to one registry, in this process, on one storage. */
export interface Planes {
  /** The functions behind a gateway. */
  readonly gateway: string;
  /** The data plane beside them. */
  readonly dataPlane: string;
  /** The streaming server as a whole registry. */
  readonly server: string;
  /** Where the images are. */
  readonly storage: TestStorage;
  stop(): Promise<void>;
}

/**
 * Starts them. Once in a process: the handlers read the environment at their first request.
 * @param storage a temporary folder unless given; it is removed in the end
 */
export async function startPlanes(settings: NodeJS.ProcessEnv = {}, storage?: TestStorage): Promise<Planes> {
  const images = storage ?? (await folderStorage());
  const port = await freePort(2);
  const gateway = await startGateway(handlers);
  const common = {
    REGISTRY_HTTP_SECRET: 'the secret of a test',
    ...images.settings,
    REGISTRY_LOG_LEVEL: 'error',
    ...settings,
  };
  keepSecrets(common);
  const dataPlane = `http://127.0.0.1:${port}`;
  Object.assign(process.env, common, { REGISTRY_HTTP_DATAPLANE: dataPlane });
  const servers: StreamingServer[] = [];
  const serve = async (program: 'server' | 'data-plane', at: number, more: NodeJS.ProcessEnv = {}) => {
    const server = await startServer(
      program,
      loadConfig(program, { ...common, REGISTRY_HTTP_ADDR: `127.0.0.1:${at}`, ...more }),
    );
    servers.push(server);
    return server.url;
  };
  await serve('data-plane', port, { REGISTRY_HTTP_HOST: gateway.url });
  // Functions send pulls to the bucket, so here all that can be streamed is.
  const server = await serve('server', port + 1, { REGISTRY_STORAGE_REDIRECT_DISABLE: 'true' });
  return {
    gateway: gateway.url,
    dataPlane,
    server,
    storage: images,
    async stop() {
      await Promise.all([
        gateway.stop(),
        ...servers.map(async (one) => {
          await one.stop();
        }),
      ]);
      images.remove();
    },
  };
}
