import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Client, digestOf, someName, withDigest } from './client.ts';
import { startPlanes, type Planes } from './planes.ts';

describe('the data plane beside the functions', () => {
  let planes: Planes;
  let functions: Client;
  let dataPlane: Client;

  before(async () => {
    planes = await startPlanes();
    functions = new Client(planes.gateway);
    dataPlane = new Client(planes.dataPlane);
  });

  after(async () => {
    await planes.stop();
  });

  it('takes the uploads that the functions start', async () => {
    const location = await functions.startUpload(someName());
    assert.ok(location.startsWith(planes.dataPlane));
  });

  it('takes a body larger than any gateway lets through', async () => {
    const name = someName();
    const bytes = randomBytes(12 * 1024 * 1024);
    const digest = await functions.pushBlob(name, bytes);
    const reply = await functions.must(307, { method: 'GET', path: `/v2/${name}/blobs/${digest}` });
    const blob = await functions.must(200, { method: 'GET', path: reply.headers.location ?? '' });
    assert.equal(digestOf(blob.body), digest);
  });

  it('points back at the functions when a blob is there', async () => {
    const name = someName();
    const bytes = randomBytes(10);
    const path = withDigest(await functions.startUpload(name), digestOf(bytes));
    const reply = await functions.must(201, { method: 'PUT', path, body: bytes });
    assert.equal(reply.headers.location, `${planes.gateway}/v2/${name}/blobs/${digestOf(bytes)}`);
  });

  it('keeps an upload on the data plane', async () => {
    const location = await functions.startUpload(someName());
    const next = await functions.sendChunk(location, 0, Buffer.from('x'));
    assert.ok(next.startsWith(planes.dataPlane));
  });

  describe('answers 404 to requests that belong to the functions', () => {
    for (const [method, path] of [
      ['GET', '/v2/'],
      ['GET', '/v2/_catalog'],
      ['GET', '/v2/a/tags/list'],
      ['GET', '/v2/a/manifests/latest'],
      ['POST', '/v2/a/blobs/uploads/'],
    ] as const)
      it(`${method} ${path}`, async () => {
        await dataPlane.must(404, { method, path });
      });
  });

  describe('serves blobs only by signed URL', () => {
    let signed: URL;

    before(async () => {
      const name = someName();
      const digest = await functions.pushBlob(name, Buffer.from('0123456789'));
      const reply = await functions.must(307, { method: 'GET', path: `/v2/${name}/blobs/${digest}` });
      signed = new URL(reply.headers.location ?? '');
    });

    it('serves ranges of blobs by signed URL', async () => {
      const reply = await dataPlane.must(206, {
        method: 'GET',
        path: signed.href,
        headers: { range: 'bytes=2-3' },
      });
      assert.equal(reply.body.toString(), '23');
    });

    it('answers HEAD of a signed URL', async () => {
      const reply = await dataPlane.must(200, { method: 'HEAD', path: signed.href });
      assert.equal(reply.headers['content-length'], '10');
    });

    const altered: Record<string, (url: URL) => void> = {
      'without a signature': (url) => (url.search = ''),
      'with a later expiry': (url) => url.searchParams.set('expires', '99999999999'),
      'with another signature': (url) => url.searchParams.set('signature', 'A'.repeat(43)),
      'for another repository': (url) => (url.pathname = url.pathname.replace('/test/', '/other/')),
      'for another blob': (url) => (url.pathname = url.pathname.replace(/[0-9a-f]{64}/, 'a'.repeat(64))),
    };
    for (const [how, alter] of Object.entries(altered))
      it(`refuses to serve a blob ${how}`, async () => {
        const url = new URL(signed);
        alter(url);
        await dataPlane.must(404, { method: 'GET', path: url.href });
        await dataPlane.must(404, { method: 'HEAD', path: url.href });
      });

    it('refuses to delete a blob by its signed URL', async () => {
      await dataPlane.must(405, { method: 'DELETE', path: signed.href });
    });
  });
});
