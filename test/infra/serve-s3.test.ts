import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { requires } from '../servers/requires.ts';
import type { S3Server } from '../servers/s3.ts';
import { bucketStorage } from '../servers/storage.ts';
import { swift } from '../servers/swift.ts';
import { pushMuch } from './large-push.ts';

const GiB = 1024 ** 3;

describe('npm run serve on S3', requires('swift-proxy-server'), () => {
  let server: S3Server;

  before(async () => {
    server = await swift();
  });

  after(async () => {
    await server.stop();
  });

  it('takes and serves a blob of 5 GiB below 300 MB of memory', { timeout: 900_000 }, async () => {
    const { settings } = await bucketStorage(server);
    const { peak, digest, assertSame, client, registry } = await pushMuch(settings, 5 * GiB);
    const { headers } = await client.must(307, { method: 'GET', path: `/v2/large/blob/blobs/${digest}` });
    const [blob] = (await once(get(headers.location ?? ''), 'response')) as [IncomingMessage];
    await assertSame(blob as AsyncIterable<Buffer>);
    await registry.stop();
    assert.ok(peak < 300e6, `it took ${Math.round(peak / 1e6)} MB`);
  });
});
