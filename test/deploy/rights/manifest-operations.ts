import assert from 'node:assert/strict';
import { digestOf, imageType } from '../../functions/client.ts';
import type { BucketRequest } from '../../servers/bucket-proxy.ts';
import { newImage, storedImage, subject, type Operations } from './site.ts';

/** @param newName makes a name whose routes lead to the function that is tried */
export function manifestOperations(newName: () => string): Operations {
  return {
    'takes an image': async (site) => {
      const { name, bytes, digest } = await newImage(site, newName());
      await site.client.pushManifest(name, 'v1', bytes);
      const found = await site.direct.must(200, { method: 'GET', path: `/v2/${name}/manifests/v1` });
      assert.equal(digestOf(found.body), digest);
    },
    // A large manifest counts for a quota when it is pushed.
    'takes an image with a large manifest': async (site) => {
      const annotations = { large: 'x'.repeat(100_000) };
      const { name, bytes } = await newImage(site, newName(), { annotations });
      await site.client.pushManifest(name, 'v1', bytes);
    },
    'returns an image by tag and by digest': async (site) => {
      const { name, bytes, digest } = await storedImage(site, newName(), ['v1']);
      for (const reference of ['v1', digest]) {
        const path = `/v2/${name}/manifests/${reference}`;
        await site.client.must(200, { method: 'HEAD', path });
        const { body } = await site.client.must(200, { method: 'GET', path });
        assert.ok(body.equals(bytes));
      }
    },
    'does not find an image that is missing': async ({ client }) => {
      await client.must(404, { method: 'GET', path: `/v2/${newName()}/manifests/v1` });
    },
    'takes an image about another': async (site) => {
      const image = await storedImage(site, newName(), ['v1']);
      const { name, bytes, digest } = await newImage(site, image.name, subject(image));
      await site.client.pushManifest(name, digest, bytes);
      assert.equal(
        (await site.bucket.keys(referrersOf(name))).filter((key) => !key.endsWith('/scanned')).length,
        1,
      );
    },
    'deletes a tag, and then its image': async (site) => {
      const { name, digest } = await storedImage(site, newName(), ['v1', 'v2']);
      for (const reference of ['v1', digest])
        await site.client.must(202, { method: 'DELETE', path: `/v2/${name}/manifests/${reference}` });
      await site.direct.must(404, { method: 'GET', path: `/v2/${name}/manifests/v2` });
    },
    'leaves nothing of a lost race for an immutable tag': async (site) => {
      const name = newName();
      const [first, second] = [await newImage(site, name), await newImage(site, name)];
      const tags = `docker/registry/v2/repositories/${name}/_manifests/tags/fixed`;
      let hasWon = false;
      const win = async ({ method, key }: BucketRequest) => {
        if (hasWon || method !== 'PUT' || key !== `${tags}/current/link`) return undefined;
        hasWon = true;
        await site.direct.pushManifest(name, 'fixed', first.bytes);
        return undefined;
      };
      site.beforeRequests.add(win);
      try {
        const path = `/v2/${name}/manifests/fixed`;
        await site.client.must(403, {
          method: 'PUT',
          path,
          headers: { 'content-type': imageType },
          body: second.bytes,
        });
      } finally {
        site.beforeRequests.delete(win);
      }
      assert.ok(hasWon, 'there was no race');
      const history = await site.bucket.keys(`${tags}/index/`);
      assert.deepEqual(
        history.map((key) => /sha256\/([0-9a-f]+)\/link$/.exec(key)?.[1]),
        [first.digest.replace('sha256:', '')],
      );
    },
  };
}

/** @param newName makes a name whose routes lead to the function that is tried */
export function referrerOperations(newName: () => string): Operations {
  return {
    'lists what refers to an image': async (site) => {
      const image = await storedImage(site, newName(), ['v1']);
      const { digest } = await storedImage(site, image.name, [], subject(image));
      assert.deepEqual(await listed(site, image), [digest]);
    },
    'lists what another registry has written': async (site) => {
      const image = await storedImage(site, newName(), ['v1']);
      const { digest } = await storedImage(site, image.name, [], subject(image));
      for (const key of await site.bucket.keys(referrersOf(image.name))) await site.bucket.delete(key);
      assert.deepEqual(await listed(site, image), [digest]);
      assert.notDeepEqual(await site.bucket.keys(referrersOf(image.name)), []);
    },
  };
}

async function listed(
  { client }: Parameters<Operations[string]>[0],
  { name, digest }: { readonly name: string; readonly digest: string },
): Promise<string[]> {
  const { body } = await client.must(200, { method: 'GET', path: `/v2/${name}/referrers/${digest}` });
  return (JSON.parse(body.toString()) as { manifests: { digest: string }[] }).manifests.map(
    (one) => one.digest,
  );
}

export function referrersOf(name: string): string {
  return `docker/registry/v2/repositories/${name}/_referrers/`;
}
