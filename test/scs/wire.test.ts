import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, describe, it, mock } from 'node:test';
import { text } from 'node:stream/consumers';
import { ScsBucket } from '../../lib/storage/scs/client/bucket.ts';
import { knownRequest, vectors } from './vectors.ts';

/** A request as it came. */
interface Seen {
  readonly method: string;
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Headers that every HTTP client sends, and that the known answers leave out. */
const ofHttp = ['connection', 'content-length', 'host'];

/** What the client sends is compared with what SCS's own SDK sent, on the second that it did. */
describe('a request on the wire', () => {
  let server: Server;
  let seen: Seen | undefined;
  let answer: { readonly headers: Record<string, string>; readonly body: string };
  let bucket: ScsBucket;

  before(async () => {
    server = createServer((request, response) => {
      const { method = '', url = '', headers } = request;
      void text(request).then((body) => {
        seen = { method, target: url, headers, body };
        response.writeHead(200, { etag: '"1"', ...answer.headers }).end(method === 'HEAD' ? '' : answer.body);
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { accessKey, secretKey } = vectors;
    bucket = new ScsBucket({
      // SCS's own SDK makes it small.
      bucket: vectors.bucket.toUpperCase(),
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      keys: { accessKey, secretKey },
    });
  });

  after(async () => {
    bucket.close();
    const closed = once(server.close(), 'close');
    server.closeAllConnections();
    await closed;
  });

  afterEach(() => {
    mock.timers.reset();
  });

  const xml = (root: string, content = '') => ({ headers: {}, body: `<${root}>${content}</${root}>` });
  const plain = { headers: {}, body: '' };

  /** What asks for it, and what a server would answer. */
  const calls: Readonly<Record<string, [call: () => Promise<unknown>, answer?: typeof answer]>> = {
    'put object': [
      async () => await bucket.put('docker/registry/v2/blobs/sha256/ab/abcd/data', Buffer.from('hello scs')),
    ],
    'put object, key with space, plus, unicode and tilde': [
      async () => await bucket.put('a dir/x+y=z~1/镜像:tag@1', Buffer.from('hi')),
    ],
    'put object, custom x-scs-meta headers': [
      async () =>
        await bucket.put('meta', Buffer.from('m'), {
          contentType: 'text/plain',
          metadata: { b: '2', a: '1' },
        }),
    ],
    'get object': [
      async () => (await bucket.get('docker/registry/v2/blobs/sha256/ab/abcd/data')).body.resume(),
    ],
    'get object, range from 5': [async () => (await bucket.get('k', { start: 5 })).body.resume()],
    'get object, range 5-9': [async () => (await bucket.get('k', { start: 5, end: 9 })).body.resume()],
    'head object': [async () => await bucket.head('k')],
    'delete object': [
      async () => {
        await bucket.delete('k');
      },
    ],
    'list, prefix and delimiter': [
      async () =>
        await bucket.list({ prefix: 'docker/registry/v2/repositories/', delimiter: '/_', maxKeys: 100 }),
      xml('ListBucketResult'),
    ],
    'list, marker': [
      async () => await bucket.list({ prefix: 'docker/', delimiter: '/', marker: 'docker/m', maxKeys: 7 }),
      xml('ListBucketResult'),
    ],
    'list, empty prefix': [async () => await bucket.list({ maxKeys: 1 }), xml('ListBucketResult')],
    'copy object': [
      async () => {
        await bucket.copy('from/a b', 'to/a');
      },
      xml('CopyObjectResult'),
    ],
    'rename object': [
      async () => {
        await bucket.rename('_uploads/1/data', 'blobs/data');
      },
    ],
    'initiate multipart': [
      async () => await bucket.createMultipart('mp'),
      xml('InitiateMultipartUploadResult', '<UploadId>u1</UploadId>'),
    ],
    'upload part 1': [async () => await bucket.uploadPart('mp', 'u1', 1, Buffer.from('part one'))],
    'complete multipart': [
      async () => await bucket.completeMultipart('mp', 'u1', [{ number: 1, etag: 'e1' }]),
      xml('CompleteMultipartUploadResult', '<ETag>&#34;e&#34;</ETag>'),
    ],
    'abort multipart': [
      async () => {
        await bucket.abortMultipart('mp', 'u1');
      },
    ],
    'list multipart uploads': [
      async () => await bucket.listMultiparts({ prefix: 'mp' }),
      xml('ListMultipartUploadsResult'),
    ],
    'delete many': [async () => await bucket.deleteMany(['a', 'b/c', 'd&e<f>']), xml('DeleteResult')],
    'bucket location': [
      async () => await bucket.location(),
      { headers: { 'x-scs-location': 'bjcnc.scs.sohucs.com' }, body: '' },
    ],
  };

  for (const [name, [call, reply = plain]] of Object.entries(calls))
    it(`a request on the wire is that of SCS's own SDK: ${name}`, async () => {
      const known = knownRequest(name);
      mock.timers.enable({
        apis: ['Date'],
        now: new Date(known.headers['date']?.replace('UTC', 'GMT') ?? ''),
      });
      answer = reply;
      await call();
      assert.ok(seen);
      assert.deepEqual([seen.method, seen.target], [known.method, known.target]);
      const own = (headers: IncomingHttpHeaders) =>
        Object.fromEntries(Object.entries(headers).filter(([header]) => !ofHttp.includes(header)));
      assert.deepEqual(own(seen.headers), own(known.headers));
      assert.equal(seen.body, known.body);
    });

  it('every known request of SCS is tested, except those that a registry does not need', () => {
    const unused = vectors.requests.map(({ name }) => name).filter((name) => !(name in calls));
    assert.deepEqual(unused, ['list parts', 'list buckets']);
  });
});
