import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { repositoriesPrefix } from '../../lib/registry/layout.ts';
import { Client } from '../functions/client.ts';
import { freshName, pull, pushImage, remove, tagsOf, v1 } from '../registry/undo/images.ts';
import { distribution2, distribution3 } from '../servers/distribution.ts';
import { requires } from '../servers/requires.ts';
import { rootDirectory, store, stowage } from './undo-fixture.ts';

describe('the command stowage delete', () => {
  it('deletes a repository, which stowage restore brings back, and says what it does', async () => {
    const name = freshName();
    const { digest } = await pushImage(store, name, 'v1', 'v2');
    const counts = '2 tags, 1 manifest, 2 links to layers';
    const dry = await stowage(['delete', name, '--dry-run']);
    assert.deepEqual(dry, { code: 0, output: `would delete ${name}: ${counts}\n`, errors: '' });
    assert.equal(await pull(store, name, v1), digest);
    const deleted = await stowage(['delete', name]);
    assert.deepEqual([deleted.code, deleted.errors], [0, '']);
    assert.match(
      deleted.output,
      new RegExp(
        `^deleted ${name}: ${counts}\nstowage restore ${name} brings it back, unless garbage collection takes its bytes before\n$`,
      ),
    );
    assert.equal(await pull(store, name, v1), undefined);
    const again = await stowage(['delete', name]);
    assert.equal(again.code, 1);
    assert.match(
      again.errors,
      /^delete failed: there is no repository .*; stowage restore .* brings back a deleted one/,
    );
    const would = await stowage(['restore', name, '--dry-run']);
    assert.match(would.output, new RegExp(`^would restore ${name}, deleted 20\\S+: ${counts}\n$`));
    const restored = await stowage(['restore', name]);
    assert.deepEqual(restored, {
      code: 0,
      output: would.output.replace('would restore', 'restored'),
      errors: '',
    });
    assert.equal(await pull(store, name, v1), digest);
  });

  it('prints JSON, and writes an audit line where there is access control', async () => {
    const name = freshName();
    await pushImage(store, name, 'v1');
    const folder = await mkdtemp(join(tmpdir(), 'delete-'));
    const settings = {
      REGISTRY_AUTH: 'htpasswd',
      REGISTRY_AUTH_HTPASSWD_REALM: 'r',
      REGISTRY_AUTH_HTPASSWD_PATH: join(folder, 'htpasswd'),
    };
    const { code, output, errors } = await stowage(['delete', name, '--json'], settings);
    await rm(folder, { recursive: true });
    assert.equal(code, 0, errors);
    const { deleted, ...fields } = JSON.parse(output) as Record<string, unknown>;
    assert.deepEqual(fields, {
      ...{ version: 1, repository: name, isDryRun: false, uploads: 0 },
      ...{ tags: 1, manifests: 1, layers: 2, others: 1, pushedMeanwhile: { tags: 0, manifests: 0 } },
    });
    assert.ok(Math.abs(Date.parse(String(deleted)) - Date.now()) < 600_000, String(deleted));
    assert.match(
      errors,
      new RegExp(`"audit":true.*"actor":"operator:.*"command":"delete","repository":"${name}"`),
    );
  });

  it('takes the name from a list of repositories in a file, and restore adds it', async () => {
    const name = freshName();
    await pushImage(store, name, 'v1');
    const folder = await mkdtemp(join(tmpdir(), 'delete-'));
    const file = join(folder, 'list');
    const settings = { SEARCH_BACKEND: 'LOCAL', SEARCH_BACKEND_LOCAL: file };
    const listed = async () => (await readFile(file, 'utf8')).split('\n').includes(name);
    assert.equal((await stowage(['reindex'], settings)).code, 0);
    assert.equal(await listed(), true);
    assert.deepEqual((await stowage(['delete', name], settings)).errors, '');
    assert.equal(await listed(), false);
    assert.deepEqual((await stowage(['restore', name], settings)).errors, '');
    assert.equal(await listed(), true);
    await rm(folder, { recursive: true });
  });

  it('refuses a tag, a read-only registry, and a name that is none', async () => {
    const tag = await stowage(['delete', 'team/app:v1']);
    assert.equal(tag.code, 2);
    assert.match(tag.errors, /^"team\/app:v1" is not a repository .*; an image is deleted by a client/);
    assert.equal((await stowage(['delete', 'Team'])).code, 2);
    const settings = { REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true' };
    const { code, errors } = await stowage(['delete', 'team/app'], settings);
    assert.equal(code, 1);
    assert.match(errors, /^delete failed: the registry is read-only/);
  });

  for (const { name: what, needs, start } of [distribution2, distribution3])
    it(
      `${what} lists no repository of a folder that was deleted, and its tags once it is back`,
      requires(needs),
      async (context) => {
        const [name, kept] = [freshName(), freshName()];
        await pushImage(store, kept, 'kept', 'gone');
        await remove(store, kept, 'gone');
        const { digest } = await pushImage(store, name, 'v1', 'v2');
        const untagged = await pushImage(store, name);
        // As distribution leaves them.
        await mkdir(
          join(rootDirectory(), `${repositoriesPrefix}${name}/_manifests/revisions/sha256/${'a'.repeat(64)}`),
          { recursive: true },
        );
        await mkdir(join(rootDirectory(), `${repositoriesPrefix}${name}/_uploads`), { recursive: true });
        const theirs = await start(rootDirectory());
        context.after(async () => {
          await theirs.stop();
        });
        const client = new Client(`http://${theirs.address}`);
        const json = async (path: string) =>
          JSON.parse((await client.must(200, { method: 'GET', path: `/v2/${path}` })).body.toString()) as {
            tags: string[];
            repositories: string[];
          };
        const listed = async () =>
          (await json('_catalog?n=1000')).repositories.filter((one) =>
            [name, kept].includes(one as typeof name),
          );
        assert.deepEqual(await listed(), [name, kept].sort());
        await remove(store, name, untagged.digest);
        assert.equal((await stowage(['delete', name])).code, 0);
        assert.deepEqual(await listed(), [kept]);
        assert.deepEqual((await json(`${kept}/tags/list`)).tags, ['kept']);
        assert.equal((await client.send({ method: 'GET', path: `/v2/${name}/tags/list` })).status, 404);
        assert.equal((await stowage(['restore', name])).code, 0);
        assert.deepEqual((await json(`${name}/tags/list`)).tags.sort(), ['v1', 'v2']);
        const accept = 'application/vnd.oci.image.manifest.v1+json';
        const path = `/v2/${name}/manifests/v1`;
        const { headers } = await client.must(200, { method: 'HEAD', path, headers: { accept } });
        assert.equal(headers['docker-content-digest'], digest);
        assert.deepEqual([...(await tagsOf(store, name))].sort(), ['v1', 'v2']);
      },
    );
});
