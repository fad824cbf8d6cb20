import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { it } from 'node:test';
import { S3Store } from '../../lib/storage/s3/store.ts';

const configuration = (status: string) =>
  `<?xml version="1.0"?><VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${status}</VersioningConfiguration>`;

for (const [what, status, body, keeps] of [
  ['enabled', 200, configuration('<Status>Enabled</Status>'), true],
  ['suspended, which leaves versions', 200, configuration('<Status>Suspended</Status>'), true],
  ['never set', 200, configuration(''), false],
  ['not told', 403, '<Error><Code>AccessDenied</Code></Error>', undefined],
  ['answered by no S3', 200, '<html></html>', undefined],
] as const)
  it(`a bucket on S3 says whether it keeps versions: ${what}`, async () => {
    const asked: (string | undefined)[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url);
      response.writeHead(status).end(body);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const store = new S3Store({
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      region: 'eu-central-1',
      bucket: 'images',
      rootDirectory: 'root',
      partSize: 5 * 1024 ** 2,
      forcePathStyle: true,
      credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
    });
    try {
      assert.equal(await store.keepsVersions(), keeps);
      assert.deepEqual(asked, ['/images/?versioning=']);
    } finally {
      store.close();
      server.closeAllConnections();
      server.close();
    }
  });
