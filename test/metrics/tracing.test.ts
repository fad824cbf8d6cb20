import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { Client, someName } from '../functions/client.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { requires } from '../servers/requires.ts';
import { serve } from '../servers/stowage.ts';
import { proxiedSwift } from '../servers/proxied-swift.ts';
import { startOtlpReceiver, type ReceivedSpan } from './otlp-receiver.ts';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const callersSpan = 'b7ad6b7169203331';

/** A request within a trace of the client. */
async function traced(url: string, path: string, flags = '01'): Promise<void> {
  const traceparent = `00-${traceId}-${callersSpan}-${flags}`;
  const response = await fetch(url + path, { headers: { traceparent } });
  await response.body?.cancel();
}

describe('traces of requests to a bucket', requires('swift-proxy-server'), async () => {
  const { proxy, settings, stop } = await proxiedSwift();

  after(stop);

  it('have one span for each request and one for each bucket request, sent before the server ends', async () => {
    const receiver = await startOtlpReceiver();
    const server = await serve(settings, { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint });
    const client = new Client(`http://${server.address}`);
    const name = someName();
    await client.pushImage(name, 'v1');
    proxy.reset();
    await traced(client.base, `/v2/${name}/manifests/v1`);
    await proxy.settled();
    const asked = proxy.requests.map(({ operation }) => operation).toSorted();
    await server.stop();
    await receiver.stop();
    const spans = receiver.spans.filter((span) => span.traceId === traceId);
    const [request, ...others] = spans.filter(({ kind }) => kind === 2);
    assert.ok(request);
    assert.deepEqual(others, []);
    assert.equal(request.name, 'GET manifest');
    assert.equal(request.parentId, callersSpan);
    assert.equal(request.attributes['http.response.status_code'], 200);
    assert.equal(request.attributes['stowage.bucket_requests'], asked.length);
    const ofBucket = spans.filter(({ kind }) => kind === 3);
    assert.deepEqual(ofBucket.map((span) => span.name).toSorted(), asked);
    assert.ok(asked.length >= 2);
    for (const span of ofBucket) assert.equal(span.parentId, request.spanId);
    assert.equal(receiver.resource['service.name'], 'stowage');
    assertBoundedNames(receiver.spans, name);
  });
});

/** No span has the name of a repository anywhere. */
function assertBoundedNames(spans: readonly ReceivedSpan[], name: string): void {
  assert.ok(spans.some(({ name: one }) => one === 'POST blob_upload'));
  assert.ok(!JSON.stringify(spans).includes(name));
}

describe('traces of a folder', async () => {
  const folder = await temporaryFolder('tracing');

  after(() => {
    folder.remove();
  });

  it('follow the decision of the caller and take the name that is set', async () => {
    const receiver = await startOtlpReceiver();
    const server = await serve(folder.path, {
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${receiver.endpoint}/v1/traces`,
      OTEL_SERVICE_NAME: 'images',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment=test',
    });
    const url = `http://${server.address}`;
    await traced(url, '/v2/_catalog', '00');
    await traced(url, '/v2/', '01');
    await traced(url, '/nothing', '01');
    await server.stop();
    await receiver.stop();
    const ofCaller = receiver.spans.filter((span) => span.traceId === traceId);
    assert.deepEqual(
      ofCaller.map(({ name }) => name),
      ['GET base'],
    );
    assert.equal(receiver.resource['service.name'], 'images');
    assert.equal(receiver.resource['deployment.environment'], 'test');
  });

  it('neither fail nor delay requests while the collector does not answer', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => sockets.push(socket.on('error', () => undefined)));
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const endpoint = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const server = await serve(folder.path, { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint });
    const client = new Client(`http://${server.address}`);
    const ask = async () => await client.must(200, { method: 'GET', path: '/v2/_catalog' });
    // More spans than the queue takes.
    for (let i = 0; i < 60; i++) await Promise.all(Array.from({ length: 25 }, ask));
    await server.stop();
    for (const socket of sockets) socket.destroy();
    silent.close();
    assert.ok(sockets.length > 0);
  });

  it('are reported once if the collector cannot be reached', async () => {
    const server = await serve(folder.path, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' });
    for (let i = 0; i < 3; i++) await traced(`http://${server.address}`, '/v2/');
    await server.stop();
    const warnings = server.output().split('traces cannot be sent').length - 1;
    assert.equal(warnings, 1, server.output());
  });
});

describe('the settings of tracing', () => {
  const load = (env: Readonly<Record<string, string>>) => loadConfig('server', env);
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318' };

  it('switch it on and off as those of OpenTelemetry do', () => {
    const on = { sampler: 'parentbased_always_on', ratio: 1 };
    assert.deepEqual(load(endpoint).tracing, on);
    assert.deepEqual(load({ OTEL_TRACES_EXPORTER: 'otlp' }).tracing, on);
    for (const env of [
      {},
      { ...endpoint, OTEL_SDK_DISABLED: 'true' },
      { ...endpoint, OTEL_TRACES_EXPORTER: 'none' },
    ])
      assert.equal(load(env).tracing, undefined);
  });

  it('choose the sampler', () => {
    const sampler = { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.25' };
    assert.deepEqual(load({ ...endpoint, ...sampler }).tracing, { sampler: 'traceidratio', ratio: 0.25 });
  });

  it('warn of what is not supported, and do not stop the start', () => {
    for (const [env, tracing] of [
      [{ OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, false],
      [{ OTEL_TRACES_EXPORTER: 'zipkin' }, false],
      [{ OTEL_TRACES_SAMPLER: 'some' }, true],
      [{ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '7' }, true],
    ] as const) {
      const config = load({ ...endpoint, ...env });
      assert.equal(config.tracing !== undefined, tracing);
      assert.match(config.warnings.join('\n'), /^OTEL_\w+: (no|all) traces are sent, since /m);
    }
  });
});
