import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { temporaryFolder } from '../servers/folder.ts';
import { functionsAndDataPlane, type Stowage } from '../servers/stowage.ts';
import { Client, digestOf, someName, withDigest } from './client.ts';

const folder = await temporaryFolder('one-address');

after(() => {
  folder.remove();
});

/** As clients need it that push on at no other host or port, such as oras and helm. */
describe('functions and a data plane at one address', () => {
  let registry: Stowage;
  let client: Client;
  const bytes = randomBytes(12 * 1024 * 1024);
  const digest = digestOf(bytes);
  const name = someName();

  before(async () => {
    registry = await functionsAndDataPlane(join(folder.path, 'registry'));
    client = new Client(`http://${registry.address}`);
  });

  after(async () => {
    await registry.stop();
  });

  const assertHere = (location: string) => {
    assert.equal(new URL(location).host, registry.address);
  };

  it("functions and a data plane at one address take a blob above the gateway's limit in one PUT", async () => {
    const location = await client.startUpload(name);
    assertHere(location);
    const ask = { method: 'PUT', path: withDigest(location, digest), body: bytes };
    assertHere(client.location(await client.must(201, ask)));
  });

  it('functions and a data plane at one address serve a large blob', async () => {
    const reply = await client.must(307, { method: 'GET', path: `/v2/${name}/blobs/${digest}` });
    const location = reply.headers.location ?? '';
    assertHere(location);
    const blob = await client.must(200, { method: 'GET', path: location });
    assert.ok(blob.body.equals(bytes), 'the bytes are others');
  });

  it('functions and a data plane at one address take a stream and report its offset', async () => {
    const location = await client.startUpload(name);
    const patch = { method: 'PATCH', path: location, body: bytes, chunked: true };
    const next = client.location(await client.must(202, patch));
    assertHere(next);
    const status = await client.must(204, { method: 'GET', path: next });
    assert.equal(status.headers.range, `0-${bytes.length - 1}`);
    await client.must(204, { method: 'DELETE', path: next });
  });

  it('functions and a data plane at one address take an image', async () => {
    const { digest: image } = await client.pushImage(name, 'v1');
    const reply = await client.must(200, { method: 'GET', path: `/v2/${name}/manifests/v1` });
    assert.equal(reply.headers['docker-content-digest'], image);
  });
});
