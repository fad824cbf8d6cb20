import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client, someName } from '../functions/client.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { serve, thisVersion } from '../servers/stowage.ts';

const folder = await temporaryFolder('optional-libraries');
after(() => {
  folder.remove();
});

const libraries = ['@opentelemetry', '@opentelemetry/sdk-trace', 'prom-client', 'yaml'];

/** The libraries of {@link libraries} that a registry has loaded after a push and a pull. */
async function loadedBy(name: string, env: NodeJS.ProcessEnv, ...args: string[]): Promise<readonly string[]> {
  const [list, { server, ...version }] = [join(folder.path, name), thisVersion()];
  const hook = fileURLToPath(new URL('./loaded-modules.ts', import.meta.url));
  const registry = await serve(
    join(folder.path, `images-${name}`),
    { ...env, TEST_LOADED_MODULES: list },
    { ...version, server: ['--import', hook, ...server, ...args] },
  );
  let loaded: string;
  try {
    await new Client(`http://${registry.address}`).pushImage(someName(), 'v1');
    assert.equal((await fetch(`http://${registry.address}/v2/_catalog`)).status, 200);
    loaded = loadedTexts(readFileSync(list, 'utf8'));
  } finally {
    await registry.stop('SIGINT');
  }
  assert.match(loaded, /node_modules\/pino\//, 'the list of modules is incomplete');
  return libraries.filter((library) => loaded.includes(`node_modules/${library}/`));
}

/** Loaded modules: their addresses, and the contents of bundles, which name the file of each module in them. */
function loadedTexts(list: string): string {
  const files = list.split('\n').filter((url) => url.startsWith('file:') && !url.includes('/node_modules/'));
  return [list, ...files.map((url) => readFileSync(new URL(url), 'utf8'))].join('\n');
}

describe('a registry', () => {
  it('loads the libraries of metrics, traces and YAML for nothing that is switched off', async () => {
    assert.deepEqual(await loadedBy('off', {}), []);
  });

  it('loads each of them for what is switched on', async () => {
    const file = join(folder.path, 'config.yml');
    writeFileSync(file, 'version: 0.1\n');
    assert.deepEqual(await loadedBy('file', {}, file), ['yaml']);
    const debug = `127.0.0.1:${await freePort()}`;
    // prom-client needs types and constants of OpenTelemetry's API.
    assert.deepEqual(await loadedBy('metrics', { REGISTRY_HTTP_DEBUG_ADDR: debug }), [
      '@opentelemetry',
      'prom-client',
    ]);
    const collector = `http://127.0.0.1:${await freePort()}`;
    assert.deepEqual(await loadedBy('traces', { OTEL_EXPORTER_OTLP_ENDPOINT: collector }), [
      '@opentelemetry',
      '@opentelemetry/sdk-trace',
    ]);
  });
});
