import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, it } from 'node:test';
import { digestOf } from '../functions/client.ts';
import { freePort } from '../servers/ports.ts';
import { folderStorage } from '../servers/storage.ts';
import { serve, type Stowage } from '../servers/stowage.ts';

const stops: (() => unknown)[] = [];

after(async () => {
  for (const stop of stops) await stop();
});

/** A server that is a cache of something at this machine. */
async function cacheOf(url: string, settings: Record<string, string> = {}): Promise<Stowage> {
  const storage = await folderStorage();
  const registry = await serve(storage.settings, {
    REGISTRY_PROXY_REMOTEURL: url,
    REGISTRY_PROXY_INSECURE: 'true',
    REGISTRY_PROXY_PRIVATEADDRESSES: 'true',
    REGISTRY_HTTP_WORKERS: '1',
    ...settings,
  });
  stops.push(async () => {
    await registry.stop();
    storage.remove();
  });
  return registry;
}

it('an upstream that redirects each blob to another one of this registry is asked for one', async () => {
  const asked: string[] = [];
  let registry = '';
  const upstream = createServer((request, response) => {
    const { url = '' } = request;
    if (url === '/v2/') return response.end();
    asked.push(url);
    const next = digestOf(randomBytes(8));
    return response.writeHead(307, { Location: `http://${registry}/v2/app/blobs/${next}` }).end();
  });
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  stops.push(() => upstream.close());
  const cache = await cacheOf(`http://127.0.0.1:${(upstream.address() as AddressInfo).port}`);
  registry = cache.address;
  const response = await fetch(`http://${registry}/v2/app/blobs/${digestOf(randomBytes(8))}`);
  assert.equal(response.status, 403);
  assert.equal(asked.length, 1);
});

it('two registries that are caches of each other say at once that they have nothing', async () => {
  const port = await freePort();
  const one = await cacheOf(`http://127.0.0.1:${port}`);
  const address = `127.0.0.1:${port}`;
  await cacheOf(`http://${one.address}`, { REGISTRY_HTTP_ADDR: address });
  const response = await fetch(`http://${one.address}/v2/app/manifests/v1`, {
    headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
  });
  assert.equal(response.status, 403);
});
