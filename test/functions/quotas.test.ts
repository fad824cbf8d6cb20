import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runStowage } from '../infra/run-node.ts';
import { quotasPrefix } from '../../lib/registry/layout.ts';
import { listObjects } from '../../lib/registry/list-objects.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { Client, descriptor, digestOf, manifest, withDigest } from './client.ts';
import { startPlanes, type Planes } from './planes.ts';

const rules = `quotas:
  - { repositories: [team/free/**], quota: 1 TB }
  - { repositories: [team/**, base], quota: 10 kB }
  - { repositories: streamed/**, quota: 10 kB }
`;

describe('quotas on every plane', () => {
  let folder: Folder;
  let planes: Planes;
  let settings: Readonly<Record<string, string>>;

  before(async () => {
    folder = await temporaryFolder('quotas');
    const path = join(folder.path, 'rules.yaml');
    await writeFile(path, rules);
    planes = await startPlanes({ REGISTRY_RETENTION_PATH: path });
    settings = { ...planes.storage.settings, REGISTRY_RETENTION_PATH: path };
  });

  after(async () => {
    await planes.stop();
    folder.remove();
  });

  const usage = async () => {
    const { output } = await runStowage(['usage', '--by=quota', '--json'], settings);
    return (JSON.parse(output) as { rows: { repositories: string[]; quota: number; used: number }[] }).rows;
  };

  it('count what the data plane takes for the functions, and refuse more in the words of the spec', async () => {
    const functions = new Client(planes.gateway);
    const layer = randomBytes(9000);
    const location = await functions.startUpload('team/app');
    assert.ok(location.startsWith(planes.dataPlane));
    const patch = { method: 'PATCH', path: location, body: layer, chunked: true };
    const next = (await functions.must(202, patch)).headers.location ?? '';
    await functions.must(201, { method: 'PUT', path: withDigest(next, digestOf(layer)) });
    const config = randomBytes(900);
    const whole = withDigest(await functions.startUpload('base'), digestOf(config));
    await functions.must(201, { method: 'PUT', path: whole, body: config });
    // One that has begun while there was room.
    const begun = await functions.startUpload('team/app');
    await functions.pushBlob('team/app', randomBytes(100));

    // The function knows within 30 s what the data plane has taken; this one has not asked before.
    const server = new Client(planes.server);
    const refused = await server.must(403, { method: 'POST', path: '/v2/base/blobs/uploads/' });
    assert.deepEqual(JSON.parse(refused.body.toString()), {
      errors: [
        {
          code: 'DENIED',
          message:
            'the quota of team/**, base is 10.0 kB, of which 10.0 kB are used; delete images that are not needed: ' +
            'garbage collection then makes room',
          detail: { repositories: ['team/**', 'base'], quota: 10_000, used: 10_000 },
        },
      ],
    });
    const last = randomBytes(500);
    await functions.must(201, { method: 'PUT', path: withDigest(begun, digestOf(last)), body: last });
    const bytes = manifest({ config: descriptor(last), layers: [] });
    const path = '/v2/team/app/manifests/latest';
    const headers = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' };
    // It is a function of its own, which has not asked before.
    const manifests = await functions.must(403, { method: 'PUT', path, headers, body: bytes });
    assert.match(manifests.body.toString(), /"used":10500/);
    await server.must(201, {
      method: 'POST',
      path: `/v2/base/blobs/uploads/?mount=${digestOf(last)}&from=team/app`,
    });
    await functions.pushBlob('team/free/app', randomBytes(20_000));
    assert.deepEqual(await usage(), [
      { repositories: ['team/free/**'], quota: 1e12, used: 20_000 },
      { repositories: ['team/**', 'base'], quota: 10_000, used: 10_500 },
      { repositories: ['streamed/**'], quota: 10_000, used: 0 },
    ]);
  });

  it('are shown by stowage usage as a table', async () => {
    const server = new Client(planes.server);
    await server.pushBlob('streamed/app', randomBytes(2500));
    const { output } = await runStowage(['usage', '--by', 'quota'], settings);
    assert.match(output, /^quota of +used +quota +share\n/);
    assert.match(output, /^streamed\/\*\* +2\.5 kB +10\.0 kB +25 %$/m);
  });

  it('are summed by stowage gc, with what was pushed since', async () => {
    const server = new Client(planes.server);
    await server.pushBlob('streamed/app', randomBytes(1500));
    const store = await planes.storage.open();
    const sums = async () => {
      const keys = await Array.fromAsync(listObjects(store, quotasPrefix), ({ key }) => key);
      const used = keys.filter((key) => key.endsWith('/used'));
      const read = used.map(
        async (key) => JSON.parse((await store.read(key, 1000)).bytes.toString()) as { bytes: number },
      );
      return {
        bytes: (await Promise.all(read)).map(({ bytes }) => bytes).sort((a, b) => a - b),
        pushes: keys.length - used.length,
      };
    };
    assert.deepEqual(await sums(), { bytes: [2500, 10_500, 20_000], pushes: 1 });
    const { code, errors } = await runStowage(['gc', '--exclusive'], settings);
    assert.equal(code, 0, errors);
    assert.deepEqual(await sums(), { bytes: [4000, 10_500, 20_000], pushes: 0 });
  });
});

describe('stowage usage --by quota', () => {
  it('says that there are none, and why they cannot be counted', async () => {
    const folder = await temporaryFolder('quotas');
    const path = join(folder.path, 'rules.yaml');
    const storage = { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path };
    const none = await runStowage(['usage', '--by=quota'], storage);
    assert.match(none.output, /^There are no quotas\.$/m);
    await writeFile(path, 'quotas: [{ repositories: a, quota: 5 }]');
    const broken = await runStowage(['usage'], { ...storage, REGISTRY_RETENTION_PATH: path });
    assert.match(broken.errors, /^quotas are not counted: the policy in .* is invalid.*size/ms);
    assert.equal(broken.code, 0);
    folder.remove();
  });
});
