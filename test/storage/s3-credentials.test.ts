import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, it, mock } from 'node:test';
import { environmentCredentials } from '../../lib/storage/s3/client/credentials.ts';
import { S3Store } from '../../lib/storage/s3/store.ts';

const minute = 60_000;

describe('credentials of S3 from the environment', () => {
  const keys = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' };

  it('are those of Lambda', () => {
    assert.deepEqual(environmentCredentials({ ...keys, AWS_SESSION_TOKEN: 'token' }), {
      accessKeyId: 'key',
      secretAccessKey: 'secret',
      sessionToken: 'token',
    });
    assert.deepEqual(environmentCredentials(keys), { accessKeyId: 'key', secretAccessKey: 'secret' });
  });

  it("are left to the SDK's chain if they are not whole, may end, or a profile is named", () => {
    assert.equal(environmentCredentials({ AWS_ACCESS_KEY_ID: 'key' }), undefined);
    assert.equal(environmentCredentials({ ...keys, AWS_SECRET_ACCESS_KEY: '' }), undefined);
    assert.equal(environmentCredentials({ ...keys, AWS_PROFILE: 'other' }), undefined);
    assert.equal(
      environmentCredentials({ ...keys, AWS_CREDENTIAL_EXPIRATION: '2030-01-01T00:00:00Z' }),
      undefined,
    );
  });
});

describe("credentials of S3 from the SDK's chain", () => {
  const before = { ...process.env };

  afterEach(() => {
    mock.timers.reset();
    for (const name of Object.keys(process.env))
      if (!(name in before)) Reflect.deleteProperty(process.env, name);
    Object.assign(process.env, before);
  });

  it('are asked for once, and again when they have ended', async (t) => {
    let asked = 0;
    // What a container on ECS or EKS asks for its credentials (https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html).
    const container = createServer((_, response) => {
      asked += 1;
      const Expiration = new Date(Date.now() + 60 * minute).toISOString();
      const keys = {
        AccessKeyId: `key-${asked}`,
        SecretAccessKey: 'secret',
        Token: `token-${asked}`,
        Expiration,
      };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(keys));
    });
    const used: unknown[] = [];
    const bucket = createServer((request, response) => {
      const [, key] = /Credential=([^/]+)/.exec(request.headers.authorization ?? '') ?? [];
      used.push(`${key ?? ''} ${String(request.headers['x-amz-security-token'])}`);
      response.writeHead(200, { etag: '"any"', 'content-length': 0 }).end();
    });
    const urls = await Promise.all([container, bucket].map(listening));
    for (const name of Object.keys(process.env))
      if (name.startsWith('AWS_')) Reflect.deleteProperty(process.env, name);
    Object.assign(process.env, {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: urls[0],
      AWS_SHARED_CREDENTIALS_FILE: '/nonexistent',
      AWS_CONFIG_FILE: '/nonexistent',
    });
    mock.timers.enable({ apis: ['Date'], now: Date.now() });
    const store = new S3Store({
      bucket: 'images',
      region: 'us-east-1',
      endpoint: urls[1],
      rootDirectory: '',
      forcePathStyle: true,
      partSize: 8 * 1024 ** 2,
    });
    // Within the last five minutes the SDK renews them in the background.
    t.after(async () => {
      store.close();
      for (const server of [container, bucket]) {
        server.closeAllConnections();
        await once(server.close(), 'close');
      }
    });
    for (const passes of [0, 54, 7, 0]) {
      mock.timers.tick(passes * minute);
      await store.head('some');
    }
    assert.deepEqual(used, ['key-1 token-1', 'key-1 token-1', 'key-2 token-2', 'key-2 token-2']);
    assert.equal(asked, 2);
  });
});

async function listening(server: ReturnType<typeof createServer>): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
