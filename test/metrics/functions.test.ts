import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { Client, someName } from '../functions/client.ts';
import { requires } from '../servers/requires.ts';
import { bucketStorage } from '../servers/storage.ts';
import { functions } from '../servers/stowage.ts';
import { swift } from '../servers/swift.ts';
import { startOtlpReceiver } from './otlp-receiver.ts';

/** A line of the embedded metric format (CloudWatch User Guide, "Specification: Embedded metric format"). */
interface EmbeddedMetrics {
  readonly _aws: {
    readonly Timestamp: number;
    readonly CloudWatchMetrics: readonly {
      readonly Namespace: string;
      readonly Dimensions: readonly (readonly string[])[];
      readonly Metrics: readonly { readonly Name: string; readonly Unit: string }[];
    }[];
  };
  readonly [name: string]: unknown;
}

function embeddedMetrics(output: string): EmbeddedMetrics[] {
  const lines = output.split('\n').filter((line) => line.startsWith('{'));
  return lines.map((line) => JSON.parse(line) as EmbeddedMetrics).filter((line) => '_aws' in line);
}

describe('what functions report', requires('swift-proxy-server'), async () => {
  const s3 = await swift();
  const { settings } = await bucketStorage(s3);
  const secret = { REGISTRY_HTTP_SECRET: 'a secret of at least 32 characters' };

  after(async () => {
    await s3.stop();
  });

  it('is a line of metrics for CloudWatch for each request, with bounded dimensions', async () => {
    const env = { ...secret, REGISTRY_METRICS_CLOUDWATCH_NAMESPACE: 'Registries/Test' };
    const server = await functions(settings, env);
    const client = new Client(`http://${server.address}`);
    const name = someName();
    await client.pushImage(name, 'v1');
    await client.must(404, { method: 'GET', path: `/v2/${name}/manifests/none` });
    await server.stop();
    const lines = embeddedMetrics(server.output());
    // Others are of the wait for the server.
    const handlers = lines.map((line) => line['handler']).filter((handler) => handler !== 'base');
    assert.deepEqual(handlers, ['blob_upload', 'blob_upload', 'manifest', 'manifest']);
    for (const line of lines) {
      const [directive, ...others] = line._aws.CloudWatchMetrics;
      assert.ok(directive);
      assert.deepEqual(others, []);
      assert.equal(directive.Namespace, 'Registries/Test');
      assert.deepEqual(directive.Dimensions, [['service', 'handler']]);
      const names = directive.Metrics.map((metric) => metric.Name);
      assert.deepEqual(names, ['Requests', 'Errors', 'Duration', 'BucketRequests']);
      for (const metric of names) assert.equal(typeof line[metric], 'number');
      assert.equal(line['service'], 'stowage');
      assert.ok(!JSON.stringify(line).includes(name));
    }
    const push = lines.find((line) => line['handler'] === 'manifest' && line['method'] === 'put');
    assert.equal(push?.['status'], '201');
    assert.ok(Number(push['BucketRequests']) > 4);
  });

  it('is nothing without a setting', async () => {
    const server = await functions(settings, secret);
    await new Client(`http://${server.address}`).must(200, { method: 'GET', path: '/v2/' });
    await server.stop();
    assert.deepEqual(embeddedMetrics(server.output()), []);
  });

  it('is a span for each request, sent before the response', async () => {
    const receiver = await startOtlpReceiver();
    const env = { ...secret, OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint };
    const server = await functions(settings, env);
    const client = new Client(`http://${server.address}`);
    await client.must(200, { method: 'GET', path: '/v2/_catalog' });
    assert.deepEqual(
      receiver.spans.filter(({ name }) => name !== 'GET base').map(({ name }) => name),
      ['ListObjectsV2', 'GET catalog'],
    );
    await server.stop();
    await receiver.stop();
  });
});

it('a namespace of AWS or with blanks is refused for metrics of functions', () => {
  for (const REGISTRY_METRICS_CLOUDWATCH_NAMESPACE of ['AWS/Lambda', 'my registry'])
    assert.throws(
      () => loadConfig('server', { REGISTRY_METRICS_CLOUDWATCH_NAMESPACE }),
      /REGISTRY_METRICS_CLOUDWATCH_NAMESPACE: must have 1 to 255 letters/,
    );
});
