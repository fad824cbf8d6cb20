import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { publicKeyText } from '../../lib/access/tokens/keys.ts';
import { base } from '../../lib/http/base.ts';
import { startedHandler, type Handler } from '../../lib/lambda/handler.ts';
import { startGateway } from '../servers/gateway.ts';
import { Client } from './client.ts';

const policy = 'rules:\n  - { repositories: "**", who: anonymous, allow: pull }\n';

describe('a function that starts while its module loads', () => {
  const kept = { ...process.env };
  let requests: string[] = [];
  /** What the bucket waits for before it answers. */
  let bucketWaits: Promise<unknown> | undefined;

  /** Has the policy, whatever is read. */
  const bucket = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    void Promise.resolve(bucketWaits).then(() => {
      response.writeHead(200, { ETag: '"1"', 'Last-Modified': 'Fri, 27 Nov 2026 12:00:00 GMT' }).end(policy);
    });
  });

  before(async () => {
    bucket.listen(0, '127.0.0.1');
    await once(bucket, 'listening');
  });

  beforeEach(() => {
    requests = [];
    bucketWaits = undefined;
    Object.assign(process.env, {
      AWS_LAMBDA_FUNCTION_NAME: 'stowage-test-base',
      REGISTRY_AUTH: 'policy',
      REGISTRY_AUTH_POLICY_OBJECT: 'policy.yaml',
      REGISTRY_AUTH_POLICY_PUBLICKEYS: publicKeyText('the secret of tokens of a test'),
      REGISTRY_AUTH_POLICY_SERVICE: 'registry.example.com',
      REGISTRY_HTTP_SECRET: 'h'.repeat(64),
      REGISTRY_LOG_LEVEL: 'error',
      REGISTRY_STORAGE_S3_ACCESSKEY: 'AKIDEXAMPLE',
      REGISTRY_STORAGE_S3_BUCKET: 'images',
      REGISTRY_STORAGE_S3_REGION: 'eu-central-1',
      REGISTRY_STORAGE_S3_REGIONENDPOINT: `http://127.0.0.1:${(bucket.address() as AddressInfo).port}`,
      REGISTRY_STORAGE_S3_SECRETKEY: 'secret',
    });
  });

  afterEach(() => {
    for (const name of Object.keys(process.env))
      if (kept[name] === undefined) Reflect.deleteProperty(process.env, name);
      else process.env[name] = kept[name];
  });

  after(() => {
    bucket.closeAllConnections();
    bucket.close();
  });

  /** Sends GET /v2/ to it. */
  const ask = async (handler: Handler, status: number) => {
    const gateway = await startGateway({ base: handler });
    try {
      await new Client(gateway.url).must(status, { method: 'GET', path: '/v2/' });
    } finally {
      await gateway.stop();
    }
  };

  it('has read the policy before its first request, which does not read it again', async () => {
    const handler = await startedHandler({ base });
    assert.deepEqual(requests, ['GET /images/policy.yaml']);
    await ask(handler, 401);
    assert.equal(requests.length, 1);
  });

  it('starts again at its first request where that failed', async () => {
    process.env['REGISTRY_LOG_LEVEL'] = 'no level';
    const handler = await startedHandler({ base });
    assert.deepEqual(requests, []);
    process.env['REGISTRY_LOG_LEVEL'] = 'error';
    await ask(handler, 401);
  });

  it('answers 503 where its first request fails to start it as well', async () => {
    process.env['REGISTRY_LOG_LEVEL'] = 'no level';
    await ask(await startedHandler({ base }), 503);
  });

  it('does not wait long for its bucket while it loads', async () => {
    let answer: (() => void) | undefined;
    bucketWaits = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const handler = await startedHandler({ base }, 1);
    answer?.();
    await ask(handler, 401);
    assert.equal(requests.length, 1);
  });

  it('starts at its first request where it does not run in Lambda', async () => {
    delete process.env['AWS_LAMBDA_FUNCTION_NAME'];
    const handler = await startedHandler({ base });
    assert.deepEqual(requests, []);
    await ask(handler, 401);
    assert.equal(requests.length, 1);
  });
});
