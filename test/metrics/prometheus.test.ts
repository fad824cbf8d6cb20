import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { once } from 'node:events';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, digestOf, send, someName, withDigest } from '../functions/client.ts';
import { runToEnd } from '../infra/run-node.ts';
import { distribution2, distribution3 } from '../servers/distribution.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { requires } from '../servers/requires.ts';
import { serve } from '../servers/stowage.ts';
import { proxiedSwift } from '../servers/proxied-swift.ts';
import { makeTraffic, measuredServer } from './metrics-server.ts';
import { readMetrics, shapesOf, sumOf, type Line } from './text-format.ts';

/** The values of the labels of each kind of request that was counted. */
function requestLabels(lines: readonly Line[]): ReadonlySet<string> {
  const counted = lines.filter(({ name }) => name === 'registry_http_requests_total');
  return new Set(counted.map(({ labels: { handler, code, method } }) => `${handler} ${code} ${method}`));
}

/** The limits of the buckets of histograms, as numbers: 1e+06 is 1000000. */
function bucketsOf(lines: readonly Line[]): ReadonlySet<string> {
  return new Set(
    lines.flatMap(({ name, labels: { le } }) =>
      le === undefined ? [] : `${name} ${Number(le.replace('+Inf', 'Infinity'))}`,
    ),
  );
}

describe('metrics for Prometheus', async () => {
  const { server, client, debug, text, metrics, stop } = await measuredServer();

  after(stop);

  it('count each request by handler, status and method', async () => {
    const before = await metrics();
    const replies = await makeTraffic(client);
    const now = await metrics();
    const added = (name: string, labels = {}) => sumOf(now, name, labels) - sumOf(before, name, labels);
    const requests = (handler: string, code: number, method: string) =>
      added('registry_http_requests_total', { handler, code: String(code), method });
    assert.equal(requests('blob_upload', 201, 'post'), 2);
    assert.equal(requests('manifest', 201, 'put'), 1);
    assert.equal(requests('manifest', 200, 'get'), 1);
    assert.equal(requests('manifest', 404, 'get'), 1);
    for (const handler of ['base', 'catalog', 'tags', 'referrers', 'search'])
      assert.equal(requests(handler, 200, 'get'), 1, handler);
    assert.equal(requests('other', 404, 'get'), 1);
    assert.equal(added('registry_http_request_duration_seconds_count'), replies.length + 3);
    assert.equal(sumOf(now, 'registry_http_in_flight_requests'), 0);
  });

  it('count the bytes of bodies in both directions', async () => {
    const [name, bytes] = [someName(), randomBytes(300_000)];
    const before = await metrics();
    await client.pushBlob(name, bytes);
    await client.must(200, { method: 'GET', path: `/v2/${name}/blobs/${digestOf(bytes)}` });
    const now = await metrics();
    const added = (metric: string, labels = {}) => sumOf(now, metric, labels) - sumOf(before, metric, labels);
    assert.equal(added('registry_http_request_size_bytes_sum', { handler: 'blob_upload' }), bytes.length);
    assert.equal(added('registry_http_response_size_bytes_sum', { handler: 'blob' }), bytes.length);
    assert.equal(added('stowage_http_received_bytes_total'), bytes.length);
    assert.ok(added('stowage_http_sent_bytes_total') >= bytes.length);
  });

  it('show an upload in progress and its bytes before it ends', async () => {
    const before = await metrics();
    const location = await client.startUpload(someName());
    const upload = request(location, { method: 'PATCH', agent: false });
    upload.write(randomBytes(50_000));
    const received = () => sumOf(before, 'stowage_http_received_bytes_total') + 50_000;
    let now = await metrics();
    while (sumOf(now, 'stowage_http_received_bytes_total') < received()) {
      await delay(20);
      now = await metrics();
    }
    assert.equal(sumOf(now, 'stowage_uploads_in_progress'), 1);
    assert.equal(sumOf(now, 'stowage_limit_in_use', { limit: 'bodies' }), 1);
    assert.equal(sumOf(now, 'registry_http_in_flight_requests', { handler: 'blob_upload_chunk' }), 1);
    upload.end();
    await once(upload, 'response');
    assert.equal(sumOf(await metrics(), 'stowage_uploads_in_progress'), 0);
  });

  it('count a cached manifest as a hit', async () => {
    const name = someName();
    await client.pushImage(name, 'v1');
    const before = await metrics();
    for (let i = 0; i < 3; i++) await client.must(200, { method: 'GET', path: `/v2/${name}/manifests/v1` });
    const now = await metrics();
    const added = (metric: string) => sumOf(now, metric) - sumOf(before, metric);
    assert.equal(added('registry_storage_cache_requests_total'), 3);
    assert.equal(added('registry_storage_cache_hits_total'), 2);
  });

  it('have no label that a client can choose', async () => {
    const shapes = shapesOf(await metrics());
    // Each kind of garbage collection has lines from when it is first seen.
    const lines = () =>
      metrics().then((all) => all.filter(({ name }) => !name.startsWith('nodejs_gc')).length);
    const before = await lines();
    for (let i = 0; i < 20; i++) {
      const own = someName();
      await send(client.base, { method: 'GET', path: `/v2/${own}/manifests/x${i}` });
      await send(client.base, { method: 'GET', path: `/${own}` });
      await send(client.base, { method: 'GET', path: `/v2/${own}/blobs/none${i}` });
      await send(client.base, { method: 'PROPFIND', path: `/v2/` });
    }
    // A status, method or handler that was not seen before has lines of its own, once.
    const added = (await lines()) - before;
    assert.ok(added < 150, `${added} lines`);
    const again = await lines();
    await send(client.base, { method: 'GET', path: `/v2/${someName()}/manifests/y` });
    assert.equal(await lines(), again);
    assert.deepEqual(shapesOf(await metrics()), shapes);
  });

  it('are not at the address of the registry', async () => {
    assert.equal((await fetch(`http://${server.address}/metrics`)).status, 404);
    assert.equal((await fetch(`http://${debug}/v2/`)).status, 404);
  });

  it('stand beside the health that distribution answers', async () => {
    const response = await fetch(`http://${debug}/debug/health`);
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), {});
  });

  it('satisfy promtool', requires('promtool'), async () => {
    execFileSync('promtool', ['check', 'metrics'], {
      input: await text(),
      stdio: ['pipe', 'ignore', 'pipe'],
    });
  });

  for (const { original, cache, shapes } of [
    // Version 2 counts its cache under another name.
    { original: distribution2, cache: {}, shapes: 14 },
    { original: distribution3, cache: { REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR: 'inmemory' }, shapes: 17 },
  ])
    it(`have the names and labels of those of ${original.name}`, requires(original.needs), async () => {
      const folder = await temporaryFolder('metrics-distribution');
      const address = `127.0.0.1:${await freePort()}`;
      const distribution = await original.start({
        REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path,
        REGISTRY_HTTP_DEBUG_ADDR: address,
        REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: 'true',
        ...cache,
      });
      const other = new Client(`http://${distribution.address}`);
      const name = someName();
      const bytes = randomBytes(10);
      for (const one of [client, other]) {
        const path = withDigest(await one.startUpload(name), digestOf(bytes));
        await one.must(201, { method: 'PUT', path, body: bytes });
      }
      const theirs = readMetrics(await (await fetch(`http://${address}/metrics`)).text());
      await distribution.stop();
      folder.remove();
      const wanted = theirs.filter(({ name: one }) =>
        /^registry_(http|storage_action|storage_cache)_/.test(one),
      );
      const ours = await metrics();
      const missing = (of: (lines: readonly Line[]) => ReadonlySet<string>) =>
        [...of(wanted)].filter((one) => !of(ours).has(one));
      assert.equal(shapesOf(wanted).size, shapes);
      assert.deepEqual(missing(shapesOf), []);
      assert.deepEqual(missing(requestLabels), []);
      assert.deepEqual(missing(bucketsOf), []);
    });
});

describe('metrics of a bucket', requires('swift-proxy-server'), async () => {
  const { proxy, settings, stop } = await proxiedSwift();

  after(stop);

  it('count each of its requests', async () => {
    const debug = `127.0.0.1:${await freePort()}`;
    const server = await serve(settings, { REGISTRY_HTTP_DEBUG_ADDR: debug });
    const metrics = async () => readMetrics(await (await fetch(`http://${debug}/metrics`)).text());
    const before = await metrics();
    proxy.reset();
    await new Client(`http://${server.address}`).pushImage(someName(), 'v1');
    await proxy.settled();
    const now = await metrics();
    const names = new Set(proxy.requests.map(({ operation }) => operation));
    for (const operation of names) {
      const name = 'stowage_bucket_requests_total';
      const added = sumOf(now, name, { operation }) - sumOf(before, name, { operation });
      assert.equal(added, proxy.requests.filter((one) => one.operation === operation).length, operation);
    }
    assert.ok(
      sumOf(now, 'registry_storage_action_seconds_count', { driver: 's3aws', action: 'PutContent' }) > 0,
    );
    await server.stop();
  });
});

describe('the debug server', () => {
  it('is refused at the port of the registry, and metrics without it', async () => {
    const { code, output } = await runToEnd(['serve'], {
      REGISTRY_HTTP_ADDR: '127.0.0.1:5000',
      REGISTRY_HTTP_DEBUG_ADDR: '127.0.0.1:5000',
      REGISTRY_HTTP_DEBUG_PROMETHEUS_PATH: 'metrics',
    });
    assert.equal(code, 1);
    assert.match(output, /REGISTRY_HTTP_DEBUG_ADDR: the port 5000 is that of the registry/);
    assert.match(output, /REGISTRY_HTTP_DEBUG_PROMETHEUS_PATH: not a path such as \/metrics/);
    const alone = await runToEnd(['serve'], { REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: 'true' });
    assert.match(alone.output, /_ENABLED: needs REGISTRY_HTTP_DEBUG_ADDR/);
  });

  it('names its setting if its port is taken', async () => {
    const folder = await temporaryFolder('metrics-taken');
    const { server, debug, stop } = await measuredServer();
    const { code, output } = await runToEnd(['serve'], {
      REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
      REGISTRY_HTTP_DEBUG_ADDR: debug,
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path,
    });
    assert.equal(code, 1);
    assert.match(output, /EADDRINUSE.*REGISTRY_HTTP_DEBUG_ADDR/);
    assert.ok(server.pid > 0);
    await stop();
    folder.remove();
  });

  it('has no metrics if they are switched off', async () => {
    const { debug, stop } = await measuredServer({ REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: 'false' });
    assert.equal((await fetch(`http://${debug}/metrics`)).status, 404);
    assert.equal((await fetch(`http://${debug}/debug/health`)).status, 200);
    await stop();
  });

  it('has the metrics at the path that is set', async () => {
    const { debug, stop } = await measuredServer({ REGISTRY_HTTP_DEBUG_PROMETHEUS_PATH: '/of/registry' });
    assert.equal((await fetch(`http://${debug}/of/registry`)).status, 200);
    await stop();
  });
});
