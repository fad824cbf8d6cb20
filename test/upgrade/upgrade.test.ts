/*
 * While the registry is upgraded, instances of the last release and of this one serve one storage at one address, and any
 * of them may be given the next request. So whatever one has written, the other must take.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { purgeUploads } from '../../lib/registry/uploads/purge.ts';
import {
  Client,
  contentRange,
  descriptor,
  digestOf,
  imageType,
  manifest,
  someName,
  withDigest,
} from '../functions/client.ts';
import { onScs, onVersitygw, type BucketKind } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import { roundRobin } from '../servers/round-robin.ts';
import { functionsAndDataPlane, serve, thisVersion, type Stowage } from '../servers/stowage.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { bundleLastRelease, requiresLastRelease, type Release } from './release.ts';

/** Where both keep their images. */
type Kind = Pick<BucketKind, 'name' | 'needs'> & {
  start(): Promise<{ newBucket(): Promise<TestStorage>; stop(): Promise<void> }>;
};

const onFolder: Kind = {
  name: 'a folder',
  needs: [],
  start: () => Promise.resolve({ newBucket: folderStorage, stop: () => Promise.resolve() }),
};

/** The version that is asked first, and the other; its index is that of the first among both versions. */
const directions = [
  ['the last release', 'this release'],
  ['this release', 'the last release'],
] as const;

/** Bytes of chunks: less than a part of a multipart upload, more, and both again. */
const chunkSizes = [1_000_000, 4_300_000, 10, 70_000];

describe('while this release takes the place of the last', requiresLastRelease(), () => {
  let last: Release;

  before(async () => {
    last = await bundleLastRelease();
  });

  after(() => {
    last.remove();
  });

  for (const kind of [onFolder, onVersitygw, onScs])
    describe(`on ${kind.name}`, requires(...kind.needs), () => {
      let server: Awaited<ReturnType<Kind['start']>>;
      let storage: TestStorage;
      let instances: Stowage[];

      before(async () => {
        server = await kind.start();
        storage = await server.newBucket();
        const env = { REGISTRY_HTTP_SECRET: randomBytes(32).toString('hex') };
        const versions = [last, thisVersion()];
        instances = await Promise.all(
          versions.map(async (version) => await serve(storage.settings, env, version)),
        );
      });

      after(async () => {
        for (const instance of instances) await instance.stop();
        storage.remove();
        await server.stop();
      });

      for (const [index, names] of directions.entries())
        declareTests(names, () => ({
          storage,
          addresses: pair(instances, index).map(({ address }) => address),
        }));
    });

  for (const [index, [first, second]] of directions.entries())
    describe(`functions of ${first} and a data plane of ${second}`, () => {
      let storage: TestStorage;
      let registry: Stowage;
      let client: Client;
      const name = someName();
      const bytes = randomBytes(5_300_000);

      before(async () => {
        storage = await folderStorage();
        registry = await functionsAndDataPlane(storage.settings, pair([last, thisVersion()], index));
        client = new Client(`http://${registry.address}`);
      });

      after(async () => {
        await registry.stop();
        storage.remove();
      });

      it(`the data plane of ${second} takes an upload that functions of ${first} began`, async () => {
        const location = await client.sendChunk(await client.startUpload(name), 0, bytes);
        await client.must(201, { method: 'PUT', path: withDigest(location, digestOf(bytes)) });
      });

      it(`the data plane of ${second} takes a signed URL of functions of ${first}`, async () => {
        const digest = await client.pushBlob(name, randomBytes(1000));
        const path = `/v2/${name}/blobs/${digest}`;
        const signed = client.location(await client.must(307, { method: 'GET', path }));
        assert.match(signed, /signature=/);
        assert.equal(digestOf((await client.must(200, { method: 'GET', path: signed })).body), digest);
      });
    });
});

interface Ground {
  readonly storage: TestStorage;
  /** Of an instance of each version. */
  readonly addresses: readonly string[];
}

function declareTests([first, second]: readonly [string, string], ground: () => Ground): void {
  /** Works with a client whose requests go to the first, the second, the first again and so on. */
  const inTurn = async (work: (client: Client) => Promise<void>): Promise<void> => {
    const proxy = await roundRobin(ground().addresses);
    try {
      await work(new Client(`http://${proxy.address}`));
      assert.ok(Math.min(...proxy.requestsTo) > 0, `requests to each: ${proxy.requestsTo.join()}`);
    } finally {
      await proxy.stop();
    }
  };
  /** Clients of the one and of the other. */
  const clients = () =>
    ground().addresses.map((address) => new Client(`http://${address}`)) as [Client, Client];

  for (const algorithm of ['sha256', 'sha512'] as const)
    it(`chunks of an upload by ${algorithm} go to ${first} and ${second} in turn`, async () => {
      const name = someName();
      const chunks = chunkSizes.map((size) => randomBytes(size));
      const digest = digestOf(Buffer.concat(chunks), algorithm);
      await inTurn(async (client) => {
        const start = { method: 'POST', path: `/v2/${name}/blobs/uploads/?digest-algorithm=${algorithm}` };
        let location = client.location(await client.must(202, start));
        let offset = 0;
        for (const chunk of chunks) {
          location = await client.sendChunk(location, offset, chunk);
          offset += chunk.length;
        }
        await client.must(201, { method: 'PUT', path: withDigest(location, digest) });
      });
      for (const client of clients()) await assertHas(client, name, digest, algorithm);
    });

  it(`a stream sent to ${second} in an upload of ${first} continues and is committed at the other`, async () => {
    const name = someName();
    const [stream, rest] = [randomBytes(5_300_000), randomBytes(100)];
    const digest = digestOf(Buffer.concat([stream, rest]));
    await inTurn(async (client) => {
      const patch = { method: 'PATCH', path: await client.startUpload(name), body: stream, chunked: true };
      const location = await client.sendChunk(
        client.location(await client.must(202, patch)),
        stream.length,
        rest,
      );
      await client.must(201, { method: 'PUT', path: withDigest(location, digest) });
    });
    for (const client of clients()) await assertHas(client, name, digest);
  });

  it(`a stream sent to ${second} is committed by ${first}, and again by ${second} when the answer is lost`, async () => {
    const name = someName();
    const bytes = randomBytes(5_300_000);
    const digest = digestOf(bytes);
    await inTurn(async (client) => {
      const patch = { method: 'PATCH', path: await client.startUpload(name), body: bytes, chunked: true };
      const path = withDigest(client.location(await client.must(202, patch)), digest);
      for (let i = 0; i < 2; i++) await client.must(201, { method: 'PUT', path });
    });
    for (const client of clients()) await assertHas(client, name, digest);
  });

  it(`${second} takes a whole blob in the PUT of an upload that ${first} began`, async () => {
    const name = someName();
    const bytes = randomBytes(5_300_000);
    await inTurn(async (client) => {
      await client.pushBlob(name, bytes);
    });
    for (const client of clients()) await assertHas(client, name, digestOf(bytes));
  });

  it(`a chunk that ${second} has is refused by ${first}, which says where the upload stands`, async () => {
    const [one, two] = [randomBytes(1_000_000), randomBytes(100)];
    const name = someName();
    await inTurn(async (client) => {
      const location = await client.startUpload(name);
      await client.sendChunk(location, 0, one);
      const again = { method: 'PATCH', path: location, headers: contentRange(0, one), body: one };
      const reply = await client.must(416, again);
      assert.equal(reply.headers.range, `0-${one.length - 1}`);
      const next = await client.sendChunk(client.location(reply), one.length, two);
      const digest = digestOf(Buffer.concat([one, two]));
      await client.must(201, { method: 'PUT', path: withDigest(next, digest) });
    });
  });

  it(`${first} returns the offset of an upload that ${second} continued`, async () => {
    await inTurn(async (client) => {
      const location = await client.sendChunk(await client.startUpload(someName()), 0, randomBytes(300_000));
      const { headers } = await client.must(204, { method: 'GET', path: location });
      assert.equal(headers.range, '0-299999');
    });
  });

  it(`${first} cancels an upload that ${second} continued, and neither knows it afterwards`, async () => {
    await inTurn(async (client) => {
      const path = await client.sendChunk(await client.startUpload(someName()), 0, randomBytes(300_000));
      await client.must(204, { method: 'DELETE', path });
      for (let i = 0; i < 2; i++) await client.must(404, { method: 'GET', path });
    });
  });

  it(`a purge by this release knows an upload of ${first}`, async () => {
    const [client] = clients();
    const name = someName();
    const location = await client.sendChunk(await client.startUpload(name), 0, randomBytes(300_000));
    const id = new URL(location).pathname.split('/').at(-1);
    const swept = [];
    const olderThan = new Date(Date.now() + 60_000);
    for await (const one of purgeUploads(await ground().storage.open(), { olderThan, dryRun: true }))
      if (one.kind === 'upload' && one.id === id) swept.push([one.repository, one.received]);
    assert.deepEqual(swept, [[name, 300_000]]);
  });

  it(`${second} serves an image and its list of tags that ${first} took`, async () => {
    const [one, other] = clients();
    const name = someName();
    const { bytes, digest } = await one.pushImage(name, 'v1');
    await one.pushManifest(name, 'v2', bytes);
    for (const reference of ['v1', 'v2', digest]) {
      const path = `/v2/${name}/manifests/${reference}`;
      const [got, head] = [
        await other.must(200, { method: 'GET', path }),
        await other.must(200, { method: 'HEAD', path }),
      ];
      assert.ok(got.body.equals(bytes));
      for (const { headers } of [got, head]) {
        assert.equal(headers['docker-content-digest'], digest);
        assert.equal(headers['content-type'], imageType);
      }
    }
    assert.deepEqual(await json(other, `/v2/${name}/tags/list`), { name, tags: ['v1', 'v2'] });
    const { repositories } = (await json(other, '/v2/_catalog?n=10000')) as { repositories: string[] };
    assert.ok(repositories.includes(name));
  });

  it(`${second} moves and deletes tags of ${first}, which sees that though it has served them`, async () => {
    const [one, other] = clients();
    const name = someName();
    const old = await one.pushImage(name, 'moved');
    await one.pushManifest(name, 'deleted', old.bytes);
    const path = (reference: string) => `/v2/${name}/manifests/${reference}`;
    for (const tag of ['moved', 'deleted']) await one.must(200, { method: 'GET', path: path(tag) });
    const { digest } = await other.pushImage(name, 'moved');
    await other.must(202, { method: 'DELETE', path: path('deleted') });
    const { headers } = await one.must(200, { method: 'HEAD', path: path('moved') });
    assert.equal(headers['docker-content-digest'], digest);
    await one.must(404, { method: 'GET', path: path('deleted') });
    await other.must(202, { method: 'DELETE', path: path(old.digest) });
    await one.must(404, { method: 'GET', path: path(old.digest) });
    assert.deepEqual(await json(one, `/v2/${name}/tags/list`), { name, tags: ['moved'] });
  });

  it(`${second} lists the referrers that ${first} took, beside its own`, async () => {
    const [one, other] = clients();
    const name = someName();
    const { bytes } = await one.pushImage(name, 'v1');
    const subject = descriptor(bytes, imageType);
    const referrers: string[] = [];
    for (const client of [one, other]) {
      const config = randomBytes(20);
      await client.pushBlob(name, config);
      const type = 'application/vnd.example.signature';
      const referrer = manifest({ artifactType: type, config: descriptor(config), layers: [], subject });
      await client.pushManifest(name, digestOf(referrer), referrer);
      referrers.push(digestOf(referrer));
    }
    for (const client of [one, other]) {
      const { manifests } = (await json(client, `/v2/${name}/referrers/${digestOf(bytes)}`)) as {
        manifests: { digest: string; artifactType: string }[];
      };
      assert.deepEqual(manifests.map(({ digest }) => digest).toSorted(), referrers.toSorted());
    }
  });

  it(`${second} mounts a blob from a repository of ${first}`, async () => {
    const [one, other] = clients();
    const [from, to] = [someName(), someName()];
    const digest = await one.pushBlob(from, randomBytes(1000));
    const path = `/v2/${to}/blobs/uploads/?mount=${digest}&from=${from}`;
    await other.must(201, { method: 'POST', path });
    await assertHas(one, to, digest);
  });
}

/** @param index of the one that comes first */
function pair<T>(ofBoth: readonly T[], index: number): [T, T] {
  return (index === 0 ? ofBoth : ofBoth.toReversed()) as [T, T];
}

async function json(client: Client, path: string): Promise<unknown> {
  return JSON.parse((await client.must(200, { method: 'GET', path })).body.toString());
}

/** A blob comes from the registry, or from the bucket that it points at. */
async function assertHas(
  client: Client,
  name: string,
  digest: string,
  algorithm: 'sha256' | 'sha512' = 'sha256',
): Promise<void> {
  const reply = await client.send({ method: 'GET', path: `/v2/${name}/blobs/${digest}` });
  const { status, body } =
    reply.status === 307 ? await client.send({ method: 'GET', path: client.location(reply) }) : reply;
  assert.equal(status, 200, body.toString());
  assert.equal(digestOf(body, algorithm), digest);
}
