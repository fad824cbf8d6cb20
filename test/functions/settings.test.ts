import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { handler } from '../../functions/base.ts';
import { startGateway } from '../servers/gateway.ts';
import { Client, digestOf, someName } from './client.ts';
import { startPlanes, type Planes } from './planes.ts';

describe('a function whose settings are wrong', () => {
  it('a function with wrong settings answers 503 without the reason', async () => {
    const gateway = await startGateway({ base: handler });
    const reply = await new Client(gateway.url).must(503, { method: 'GET', path: '/v2/' });
    await gateway.stop();
    assert.equal(reply.headers['content-type'], 'application/json');
    assert.equal(reply.headers['retry-after'], '5');
    assert.match(reply.body.toString(), /^\{"errors":\[\{"code":"UNAVAILABLE"/);
    assert.doesNotMatch(reply.body.toString(), /REGISTRY_/);
  });
});

describe('with REGISTRY_STORAGE_DELETE_ENABLED=false', () => {
  let planes: Planes;

  before(async () => {
    planes = await startPlanes({ REGISTRY_STORAGE_DELETE_ENABLED: 'false' });
  });

  after(async () => {
    await planes.stop();
  });

  it('a function that times out says so and serves the next request', async () => {
    const event = {
      version: '2.0',
      rawPath: '/v2/',
      rawQueryString: '',
      headers: {},
      requestContext: { http: { method: 'GET', path: '/v2/' } },
    };
    const call = async (milliseconds: number) =>
      await handler(
        event as unknown as Parameters<typeof handler>[0],
        { getRemainingTimeInMillis: () => milliseconds } as Parameters<typeof handler>[1],
      );
    const late = await call(0);
    assert.equal(late.statusCode, 503);
    assert.equal(late.headers?.['Retry-After'], '5');
    assert.match(late.body ?? '', /"code":"UNAVAILABLE","message":"the storage answers too slowly/);
    assert.equal((await call(10_000)).statusCode, 200);
  });

  for (const plane of ['gateway', 'server'] as const) {
    const client = () => new Client(planes[plane]);

    it(`with deletes disabled, the ${plane} refuses to delete tags, manifests and blobs`, async () => {
      const name = someName();
      const { bytes, digest, layer } = await client().pushImage(name, 'v1');
      for (const [path, allow] of [
        [`manifests/v1`, 'GET, HEAD, PUT'],
        [`manifests/${digest}`, 'GET, HEAD, PUT'],
        [`blobs/${layer}`, 'GET, HEAD'],
      ]) {
        const refusal = await client().must(405, { method: 'DELETE', path: `/v2/${name}/${path}` });
        assert.equal(refusal.headers.allow, allow);
        const error = { code: 'UNSUPPORTED', message: 'deleting is disabled in this registry' };
        assert.deepEqual(JSON.parse(refusal.body.toString()), { errors: [error] });
      }
      const reply = await client().must(200, { method: 'GET', path: `/v2/${name}/manifests/v1` });
      assert.ok(reply.body.equals(bytes));
      await client().must(200, { method: 'HEAD', path: `/v2/${name}/blobs/${layer}` });
    });

    it(`with deletes disabled, the ${plane} lets uploads be cancelled`, async () => {
      await client().must(204, { method: 'DELETE', path: await client().startUpload(someName()) });
    });

    it(`with deletes disabled, the ${plane} refuses existing and missing content alike`, async () => {
      const path = `/v2/${someName()}/manifests/${digestOf(Buffer.from('none'))}`;
      await client().must(405, { method: 'DELETE', path });
    });
  }
});
