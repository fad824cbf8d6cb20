import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { fillWithOriginal, repositories, type Served } from '../fixtures/original.ts';
import type { TestStorage } from '../servers/storage.ts';
import { Client, digestOf } from './client.ts';
import { startPlanes, type Planes } from './planes.ts';

/** Byte order, which is that of JavaScript for names and tags. */
const names = Object.keys(repositories).sort();

/** Tests that content of the original registry is served as by the original. Once in a process. */
export function originalBucket(openStorage: () => Promise<TestStorage>): void {
  let planes: Planes;

  before(async () => {
    const storage = await openStorage();
    await fillWithOriginal(await storage.open());
    planes = await startPlanes({}, storage);
  });

  after(async () => {
    await planes.stop();
  });

  for (const plane of ['server', 'gateway'] as const) {
    const ask = async (path: string, method = 'GET') =>
      await new Client(planes[plane]).must(200, { method, path: `/v2/${path}` });
    const json = async (path: string) => JSON.parse((await ask(path)).body.toString()) as unknown;

    it(`serves the original's catalog in order, through the ${plane}`, async () => {
      assert.deepEqual(await json('_catalog'), { repositories: names });
    });

    for (const name of names) {
      const tags = repositories[name] ?? {};

      it(`serves the original's tags of ${name} in order, through the ${plane}`, async () => {
        assert.deepEqual(await json(`${name}/tags/list`), { name, tags: Object.keys(tags).sort() });
      });

      for (const [tag, served] of Object.entries(tags)) {
        it(`serves ${name}:${tag} as the original did, through the ${plane}`, async () => {
          const head = await ask(`${name}/manifests/${tag}`, 'HEAD');
          const { headers, body } = await ask(`${name}/manifests/${tag}`);
          for (const { 'content-type': type, 'docker-content-digest': digest } of [head.headers, headers])
            assert.deepEqual({ type, digest }, { type: served.mediaType, digest: served.digest });
          assert.equal(head.headers['content-length'], String(served.size));
          assert.equal(digestOf(body), `sha256:${served.sha256}`);
        });
      }
    }

    // Its digest is that of the payload, without the signatures that it is served with.
    it(`serves the original's signed schema 1 image by digest, through the ${plane}`, async () => {
      const { digest = '', served } = repositories['legacy/app']?.['v1'] ?? ({} as Partial<Served>);
      const { headers, body } = await ask(`legacy/app/manifests/${digest}`);
      assert.equal(headers['content-type'], 'application/vnd.docker.distribution.manifest.v1+prettyjws');
      assert.equal(headers['docker-content-digest'], digest);
      assert.equal(body.toString(), served);
    });
  }
}
