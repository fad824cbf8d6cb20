import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import type { FunctionName } from '../../../infra/gateway.ts';
import { someName } from '../../functions/client.ts';
import { blobOperations, uploadOperations } from './blob-operations.ts';
import { manifestOperations, referrerOperations, referrersOf } from './manifest-operations.ts';
import { storedImage, subject, type Operations } from './site.ts';

const root = 'docker/registry/v2';

/** Names of so many segments go to the function `all`. */
const longName = () => `long/name/of/five/${someName('x').replace('/', '-')}`;

const tagOperations = (newName: () => string): Operations => ({
  'lists tags': async (site) => {
    const { name } = await storedImage(site, newName(), ['v1']);
    const { body } = await site.client.must(200, { method: 'GET', path: `/v2/${name}/tags/list` });
    assert.deepEqual((JSON.parse(body.toString()) as { tags: string[] }).tags, ['v1']);
  },
  // In the bucket `a` follows all that begin with `a-`.
  'lists tags in order, a page at a time': async (site) => {
    const { name } = await storedImage(site, newName(), ['a-0', 'a-1', 'a-2', 'a-3', 'a']);
    const { body } = await site.client.must(200, { method: 'GET', path: `/v2/${name}/tags/list?n=1` });
    assert.deepEqual((JSON.parse(body.toString()) as { tags: string[] }).tags, ['a']);
  },
});

/** What each function does. */
export const operations: Readonly<Record<FunctionName, Operations>> = {
  base: {
    'answers after a login': async ({ client }) => {
      await client.must(200, { method: 'GET', path: '/v2/' });
    },
    'says that it is ready': async ({ client }) => {
      await client.must(200, { method: 'GET', path: '/readyz' });
    },
  },
  token: {
    'issues a token': async ({ client }) => {
      await client
        .must(200, { method: 'GET', path: `/v2/${someName()}/tags/list`, headers: {} })
        .catch((error: unknown) => {
          // The repository does not exist, which only those learn who have a token.
          assert.match(String(error), /NAME_UNKNOWN/);
        });
    },
  },
  extensions: {
    'tells its extensions': async ({ client }) => {
      await client.must(200, { method: 'GET', path: '/v2/_oci/ext/discover' });
    },
  },
  catalog: {
    'lists repositories': async (site) => {
      const { name } = await storedImage(site, someName('0-catalog'), ['v1']);
      const { body } = await site.client.must(200, { method: 'GET', path: '/v2/_catalog?n=1000' });
      assert.ok((JSON.parse(body.toString()) as { repositories: string[] }).repositories.includes(name));
    },
  },
  search: {
    'finds a repository': async (site) => {
      const { name } = await storedImage(site, someName('0-search'), ['v1']);
      const { body } = await site.client.must(200, { method: 'GET', path: `/v1/search?q=${name}` });
      assert.match(body.toString(), new RegExp(name));
    },
  },
  tags: tagOperations(someName),
  manifests: manifestOperations(someName),
  referrers: referrerOperations(someName),
  blobs: blobOperations(someName),
  uploads: uploadOperations(someName),
  all: {
    ...tagOperations(longName),
    ...referrerOperations(longName),
    ...manifestOperations(longName),
    ...blobOperations(longName),
    ...uploadOperations(longName),
  },
  'purge-uploads': {
    'removes abandoned uploads': async (site) => {
      const { direct, bucket } = site;
      const upload = await direct.startUpload(someName());
      await direct.sendChunk(upload, 0, randomBytes(20 * 1024 ** 2));
      const bytes = `${root}/uploads/${randomUUID()}/data-orphaned`;
      await bucket.put(bytes, 'orphaned');
      const gone = randomBytes(32).toString('hex');
      const records = ['', `-sha256-${gone}`].map(
        (about) => `${root}/deleted/${someName()}/_records/8200000000000-0123456789ab${about}`,
      );
      for (const record of records) await bucket.put(record, '{}');
      await bucket.put(`${root}/pulled/${someName()}/_tags/v1`, '{}');
      const hex = randomBytes(32).toString('hex');
      await bucket.startMultipart(`${root}/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`);
      assert.equal((await bucket.multiparts()).length >= 2, true);
      // Old enough for all, on a day on which records of deletes are looked at.
      site.agedMs = (30 + 12 * 30 + 0.5) * 24 * 3600_000;
      try {
        await site.invoke('purge-uploads');
      } finally {
        site.agedMs = 0;
      }
      assert.deepEqual(await bucket.keys(`${root}/uploads/`), []);
      // Others are of manifests that are there.
      const left = await bucket.keys(`${root}/deleted/`);
      assert.ok(!records.some((record) => left.includes(record)));
      assert.deepEqual(await bucket.keys(`${root}/pulled/`), []);
      assert.deepEqual(await bucket.multiparts(), []);
    },
  },
  reindex: {
    'repairs the index of referrers': async (site) => {
      const image = await storedImage(site, someName('0-reindex'), ['v1']);
      // The first query makes the index.
      await site.direct.must(200, { method: 'GET', path: `/v2/${image.name}/referrers/${image.digest}` });
      const gone = await storedImage(site, image.name, [], subject(image));
      const hex = gone.digest.replace('sha256:', '');
      await site.bucket.delete(`${root}/repositories/${image.name}/_manifests/revisions/sha256/${hex}/link`);
      const lost = await storedImage(site, image.name, [], subject(image));
      const keys = await site.bucket.keys(referrersOf(image.name));
      const lostKey = keys.find((key) => key.endsWith(lost.digest.replace('sha256:', '')));
      await site.bucket.delete(lostKey ?? '');
      await site.invoke('reindex');
      const after = await site.bucket.keys(referrersOf(image.name));
      assert.deepEqual(
        after.filter((key) => !key.endsWith('/scanned')),
        [lostKey],
      );
    },
  },
  // What it does with endpoints, test/deploy/events/rights-suite.ts tries.
  events: {
    'says that it is off': async (site) => {
      await site.invoke('events');
    },
  },
  // Nor upstreams.
  copy: {
    'says that it is off': async (site) => {
      await site.invoke('copy');
    },
  },
  // What it does where garbage collection is on, test/infra/gc-function.test.ts compares with its rights.
  gc: {
    'says that it is off': async (site) => {
      await site.invoke('gc');
    },
  },
};
