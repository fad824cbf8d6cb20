import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Client } from '../functions/client.ts';
import { freshName, pull, pushImage, remove, tagsOf, v1 } from '../registry/undo/images.ts';
import { distribution2 } from '../servers/distribution.ts';
import { requires } from '../servers/requires.ts';
import { rootDirectory, store, stowage } from './undo-fixture.ts';

describe('the command stowage restore', () => {
  it('brings back a tag that was deleted with its manifest, and says what it does', async () => {
    const name = freshName();
    const { digest } = await pushImage(store, name, 'v1');
    await remove(store, name, digest);
    const line = new RegExp(
      `would restore ${name}:v1 at ${digest}, deleted 20\\S+, with 1 deleted manifest\n$`,
    );
    const dry = await stowage(['restore', `${name}:v1`, '--dry-run']);
    assert.match(dry.output, line);
    assert.deepEqual(await tagsOf(store, name), []);
    const restored = await stowage(['restore', `${name}:v1`]);
    assert.deepEqual(restored, {
      code: 0,
      output: dry.output.replace('would restore', 'restored'),
      errors: '',
    });
    assert.equal(await pull(store, name, v1), digest);
    const again = await stowage(['restore', `${name}:v1`]);
    assert.equal(again.code, 1);
    assert.match(again.errors, /^restore failed: tag .* is there; stowage rollback moves it/);
  });

  it('refuses a read-only registry', async () => {
    const settings = { REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true' };
    const { code, errors } = await stowage(['restore', 'team/app:v1'], settings);
    assert.equal(code, 1);
    assert.match(errors, /^restore failed: the registry is read-only/);
  });

  it(
    'distribution lists neither deleted tags nor their records, and the tag once it is back',
    requires('docker-registry'),
    async (context) => {
      const name = freshName();
      await pushImage(store, name, 'kept');
      const { digest } = await pushImage(store, name, 'v1', 'v2');
      await pushImage(store, name, 'v3');
      await remove(store, name, digest);
      await remove(store, name, 'v3');
      const theirs = await distribution2.start(rootDirectory());
      context.after(async () => {
        await theirs.stop();
      });
      const client = new Client(`http://${theirs.address}`);
      const json = async (path: string) =>
        JSON.parse((await client.must(200, { method: 'GET', path: `/v2/${path}` })).body.toString()) as {
          tags: string[];
          repositories: string[];
        };
      assert.deepEqual((await json(`${name}/tags/list`)).tags, ['kept']);
      const { repositories } = await json('_catalog?n=1000');
      assert.deepEqual(
        repositories.filter((one) => one.includes(name) || one.includes('_')),
        [name],
      );
      assert.equal((await stowage(['restore', `${name}:v1`])).code, 0);
      assert.deepEqual((await json(`${name}/tags/list`)).tags.sort(), ['kept', 'v1']);
      const { headers } = await client.must(200, {
        method: 'HEAD',
        path: `/v2/${name}/manifests/v1`,
        headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
      });
      assert.equal(headers['docker-content-digest'], digest);
    },
  );
});
