import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Client, descriptor, digestOf, manifest, someName, type Reply } from '../functions/client.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { readMetrics, type Line } from './text-format.ts';

export interface MeasuredServer {
  readonly server: Stowage;
  readonly client: Client;
  /** Host and port of the debug server. */
  readonly debug: string;
  readonly text: () => Promise<string>;
  readonly metrics: () => Promise<readonly Line[]>;
  readonly stop: () => Promise<void>;
}

/** A registry in a folder, with a debug server and a list of repositories in a file. */
export async function measuredServer(more: NodeJS.ProcessEnv = {}): Promise<MeasuredServer> {
  const folder = await temporaryFolder('metrics');
  const debug = `127.0.0.1:${await freePort()}`;
  const env = {
    REGISTRY_HTTP_DEBUG_ADDR: debug,
    SEARCH_BACKEND: 'LOCAL',
    SEARCH_BACKEND_LOCAL: join(folder.path, 'repositories'),
    ...more,
  };
  const server = await serve(join(folder.path, 'images'), env);
  const text = async () => await (await fetch(`http://${debug}/metrics`)).text();
  return {
    server,
    client: new Client(`http://${server.address}`),
    debug,
    text,
    metrics: async () => readMetrics(await text()),
    stop: async () => {
      await server.stop();
      folder.remove();
    },
  };
}

/** A push and a pull of an image, a list, and requests that fail. */
export async function makeTraffic(client: Client): Promise<readonly Reply[]> {
  const name = someName();
  const [config, layer] = [randomBytes(40), randomBytes(100_000)];
  for (const bytes of [config, layer]) await client.pushBlob(name, bytes);
  const bytes = manifest({ config: descriptor(config), layers: [descriptor(layer)] });
  await client.pushManifest(name, 'v1', bytes);
  const paths = ['/v2/', '/v2/_catalog', '/nothing', '/v1/search?q=x'];
  const own = ['manifests/v1', 'manifests/none', 'tags/list', `referrers/${digestOf(bytes)}`];
  const all = [...paths, ...own.map((path) => `/v2/${name}/${path}`)];
  return await Promise.all(all.map(async (path) => await client.send({ method: 'GET', path })));
}
