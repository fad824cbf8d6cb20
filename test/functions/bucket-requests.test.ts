import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { bucketSteps } from '../../infra/docs/scale-model.ts';
import { startServer, type StreamingServer } from '../../lib/server/server.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { onSwift, s3Kinds, type S3Kind } from '../servers/buckets.ts';
import { bucketProxy, type BucketProxy } from '../servers/bucket-proxy.ts';
import { freePort } from '../servers/ports.ts';
import { requires } from '../servers/requires.ts';
import type { S3Server } from '../servers/s3.ts';
import { bucketStorage, type TestStorage } from '../servers/storage.ts';
import { MemoryStore } from '../registry/memory-store.ts';
import {
  Client,
  type Ask,
  descriptor,
  digestOf,
  imageType,
  indexType,
  manifest,
  someName,
  withDigest,
} from './client.ts';
import { lifeOfImage } from './image-life.ts';

const MiB = 1024 ** 2;

/** That nothing is being collected, each process asks once a minute. The first request that relies on it has this one more. */
const marks = { ListObjectsV2: 1 };

/**
 * What each operation asks of the bucket, exactly. In Lambda these are the bill and the wait. Every test has a process of
 * its own as far as caches go: a server that has served nothing yet.
 */
for (const kind of s3Kinds)
  describe(`requests to the bucket on ${kind.name}`, requires(...kind.needs), () => {
    requestsTo(kind);
  });

function requestsTo(kind: S3Kind): void {
  let s3: S3Server;
  let proxy: BucketProxy;
  let storage: TestStorage;
  // Without conditional writes, a session is read before more is added to it.
  const isConditional = kind !== onSwift;
  const servers: StreamingServer[] = [];

  before(async () => {
    s3 = await kind.start();
    proxy = await bucketProxy(s3.endpoint);
    storage = await bucketStorage({ ...s3, endpoint: proxy.endpoint });
  });

  after(async () => {
    for (const server of servers) await server.stop();
    await proxy.stop();
    await s3.stop();
  });

  /** A client of a new server, which has looked at its bucket already. */
  async function newServer(place = storage): Promise<Client> {
    const settings = {
      ...place.settings,
      REGISTRY_HTTP_SECRET: 'the secret of a test',
      REGISTRY_LOG_LEVEL: 'error',
    };
    const address = { REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}` };
    const server = await startServer('server', loadConfig('server', { ...settings, ...address }));
    servers.push(server);
    return new Client(server.url);
  }

  /** What the bucket is asked while something is done, by S3's names, in no order. */
  async function asked(act: () => Promise<unknown>): Promise<Record<string, number>> {
    proxy.reset();
    await act();
    const counts: Record<string, number> = {};
    for (const { operation } of proxy.requests) counts[operation] = (counts[operation] ?? 0) + 1;
    return counts;
  }

  const pushed = isConditional ? 6 : 7;
  it(`are ${pushed} for a push of a small blob: HEAD, POST, PATCH and PUT, and one for the marks`, async () => {
    const [client, name, bytes] = [await newServer(), someName(), randomBytes(1000)];
    const counts = await asked(async () => {
      await client.must(404, { method: 'HEAD', path: `/v2/${name}/blobs/${digestOf(bytes)}` });
      await pushAsStream(client, await client.startUpload(name), bytes);
    });
    assert.deepEqual(counts, {
      ...marks,
      ...{ HeadObject: 1, PutObject: 4, DeleteObjects: 1 },
      ...(!isConditional && { GetObject: 1 }),
    });
  });

  it('are 2 more if each request of the push meets another process', async () => {
    const [name, bytes] = [someName(), randomBytes(1000)];
    const location = await (await newServer()).startUpload(name);
    const [second, third] = [await newServer(), await newServer()];
    const counts = await asked(async () => {
      const patch = { method: 'PATCH', path: pathOf(location), body: bytes };
      const next = (await second.must(202, patch)).headers.location ?? assert.fail();
      await third.must(201, { method: 'PUT', path: withDigest(pathOf(next), digestOf(bytes)) });
    });
    assert.deepEqual(counts, { ...marks, GetObject: 2, PutObject: 3, DeleteObjects: 1 });
  });

  // Swift does not guard a copy by its source's ETag: it needs two looks at the source, and copies part by part.
  const copies = isConditional ? '6 and one' : '9 and two';
  it(`are ${copies} for each part for PATCH and PUT of 30 MiB, once the server is known`, async () => {
    const [client, name] = [await newServer(), someName()];
    await pushAsStream(client, await client.startUpload(name), randomBytes(10 * MiB));
    const location = await client.startUpload(name);
    const counts = await asked(async () => {
      await pushAsStream(client, location, randomBytes(30 * MiB));
    });
    const common = { PutObject: 2, DeleteObjects: 1, UploadPart: 4 };
    const guarded = { CreateMultipartUpload: 1, CompleteMultipartUpload: 1, CopyObject: 1 };
    const inParts = {
      GetObject: 1,
      CreateMultipartUpload: 2,
      CompleteMultipartUpload: 2,
      UploadPartCopy: 4,
      HeadObject: 1,
    };
    assert.deepEqual(counts, { ...common, ...(isConditional ? guarded : inParts) });
  });

  const chunked = isConditional
    ? '2 for a chunk that fills a part, but 3 for the first'
    : '4 for a chunk that fills a part';
  it(`are ${chunked}, and 5 and one for each part for the PUT`, async () => {
    const [client, name] = [await newServer(), someName()];
    const chunks = [0, 1, 2].map(() => randomBytes(5 * MiB));
    let location = await client.startUpload(name);
    const counts = await asked(async () => {
      for (const [i, bytes] of chunks.entries())
        location = await client.sendChunk(location, i * 5 * MiB, bytes);
      await client.must(201, { method: 'PUT', path: withDigest(location, digestOf(Buffer.concat(chunks))) });
    });
    assert.deepEqual(counts, {
      ...marks,
      ...{ PutObject: 3 + 2 + 1, UploadPart: 1, DeleteObjects: 1 },
      ...{ CreateMultipartUpload: 1 + 1, UploadPartCopy: 3, CompleteMultipartUpload: 2 },
      // And a look at it before it is written again.
      ...(!isConditional && { GetObject: 3, HeadObject: 2 }),
    });
  });

  it('are 4 and one for each part for a PUT that names the digest: nothing is copied', async () => {
    const [client, name, bytes] = [await newServer(), someName(), randomBytes(30 * MiB)];
    const location = await client.startUpload(name);
    const counts = await asked(async () => {
      await client.must(201, { method: 'PUT', path: withDigest(location, digestOf(bytes)), body: bytes });
    });
    assert.deepEqual(counts, {
      ...marks,
      ...{ PutObject: 1, DeleteObjects: 1 },
      ...{ CreateMultipartUpload: 1, UploadPart: 4, CompleteMultipartUpload: 1 },
    });
  });

  it('are 3 for a mount, and 2 for one of a blob that this process knows', async () => {
    const [client, name] = [await newServer(), someName()];
    const digest = await (await newServer()).pushBlob(name, randomBytes(10));
    const mount = async () => {
      const path = `/v2/${someName()}/blobs/uploads/?mount=${digest}&from=${name}`;
      return await asked(async () => await client.must(201, { method: 'POST', path }));
    };
    assert.deepEqual(await mount(), { ...marks, HeadObject: 2, PutObject: 1 });
    assert.deepEqual(await mount(), { HeadObject: 1, PutObject: 1 });
  });

  it('are 4 for a mount without a word of where from, and 2 before an upload where nobody has it', async () => {
    const [client, name] = [await newServer(), someName()];
    const digest = await client.pushBlob(name, randomBytes(10));
    const mount = (what: string) => `/v2/${someName()}/blobs/uploads/?mount=${what}`;
    const found = await asked(async () => await client.must(201, { method: 'POST', path: mount(digest) }));
    assert.deepEqual(found, { HeadObject: 3, PutObject: 1 });
    const absent = mount(digestOf(randomBytes(10)));
    const begun = await asked(async () => await client.must(202, { method: 'POST', path: absent }));
    assert.deepEqual(begun, { HeadObject: 2, PutObject: 1 });
  });

  it('are 3 for a query for referrers and 2 for each, after one that has read each manifest', async () => {
    const [client, name] = [await newServer(), someName()];
    const { digest: subject, bytes } = await client.pushImage(name, 'v1');
    for (let i = 0; i < 3; i++) {
      const about = descriptor(bytes, imageType);
      const referrer = manifest({ manifests: [], annotations: { i: String(i) }, subject: about }, indexType);
      await client.pushManifest(name, digestOf(referrer), referrer, indexType);
    }
    const query = async () =>
      await asked(
        async () => await client.must(200, { method: 'GET', path: `/v2/${name}/referrers/${subject}` }),
      );
    const first = await query();
    // How far it was looked, the list of manifests, each of them, whether each has its entry, and how far it is now.
    assert.deepEqual(first, { GetObject: 2 + 4 + 3, ListObjectsV2: 2, HeadObject: 3 + 3, PutObject: 1 });
    assert.deepEqual(await query(), { GetObject: 2 + 3, ListObjectsV2: 1, HeadObject: 3 });
  });

  it('are 2 for HEAD and GET of a blob, whose bytes come from elsewhere, and 1 when it is known', async () => {
    const name = someName();
    const path = `/v2/${name}/blobs/${await (await newServer()).pushBlob(name, randomBytes(10))}`;
    const methods = { HEAD: 200, GET: 307 } as const;
    for (const [first, counts] of [
      ['HEAD', [{ ...marks, HeadObject: 2 }, { HeadObject: 1 }, { HeadObject: 1 }]],
      // What a process had seen before it read the marks does not count for pushes.
      ['GET', [{ HeadObject: 2 }, { ...marks, HeadObject: 2 }, { HeadObject: 1 }]],
    ] as const) {
      const client = await newServer();
      for (const [i, method] of ([first, 'HEAD', 'GET'] as const).entries()) {
        const ask = async () => await client.must(methods[method], { method, path });
        assert.deepEqual(await asked(ask), counts[i], `${method} after ${first}`);
      }
    }
  });

  it('are 1 for HEAD of a blob that is missing, and 2 for DELETE of one', async () => {
    const [client, name] = [await newServer(), someName()];
    // A server makes sure once that it is not the bucket that is missing.
    const missing = { method: 'HEAD', path: `/v2/${name}/blobs/${digestOf(randomBytes(10))}` };
    await client.must(404, missing);
    assert.deepEqual(await asked(async () => await client.must(404, missing)), { HeadObject: 1 });
    const path = `/v2/${name}/blobs/${await client.pushBlob(name, randomBytes(10))}`;
    const counts = await asked(async () => await client.must(202, { method: 'DELETE', path }));
    assert.deepEqual(counts, { HeadObject: 1, DeleteObjects: 1 });
  });

  it('are 4 for a PUT of a manifest by tag, after one for each blob it names, two where none is known, and one look back', async () => {
    const name = someName();
    const [config, layer] = [randomBytes(40), randomBytes(50)];
    const first = await newServer();
    for (const bytes of [config, layer]) await first.pushBlob(name, bytes);
    const bytes = manifest({ config: descriptor(config), layers: [descriptor(layer)] });
    for (const [client, looks] of [
      [first, { HeadObject: 2 + 1 }],
      [await newServer(), { ...marks, HeadObject: 4 + 1 }],
    ] as const) {
      const counts = await asked(async () => {
        await client.pushManifest(name, 'v1', bytes);
      });
      assert.deepEqual(counts, { ...looks, PutObject: 4 });
    }
  });

  it('are 2 and two for each tag for a PUT of a manifest with tags, one look back for all of them', async () => {
    const [client, name] = [await newServer(), someName()];
    const bytes = manifest({ manifests: [] }, indexType);
    const tags = Array.from({ length: 11 }, (_, i) => `tag=v${i}`).join('&');
    const counts = await asked(async () => {
      await client.pushManifest(name, `${digestOf(bytes)}?${tags}`, bytes, indexType);
    });
    assert.deepEqual(counts, { ...marks, HeadObject: 1, PutObject: 2 + 2 * 11 });
  });

  it('are 3 for HEAD and GET of a manifest by tag, and 2 when its content is known', async () => {
    const name = someName();
    await (await newServer()).pushImage(name, 'v1');
    const path = `/v2/${name}/manifests/v1`;
    for (const methods of [
      ['HEAD', 'GET', 'HEAD'],
      ['GET', 'HEAD', 'GET'],
    ]) {
      const client = await newServer();
      const counts: Record<string, number>[] = [];
      for (const method of methods)
        counts.push(await asked(async () => await client.must(200, { method, path })));
      const known = { GetObject: 1, HeadObject: 1 };
      assert.deepEqual(counts, [{ GetObject: 2, HeadObject: 1 }, known, known]);
    }
  });

  it('are those that docs/scale.md assumes for the steps of a pull, when nothing is known', async () => {
    const name = someName();
    const { digest } = await (await newServer()).pushImage(name, 'v1');
    const blob = await (await newServer()).pushBlob(name, randomBytes(10));
    const asks: Record<keyof typeof bucketSteps, { status: number; ask: Ask }> = {
      'HEAD of the tag': { status: 200, ask: { method: 'HEAD', path: `/v2/${name}/manifests/v1` } },
      'GET of a manifest': { status: 200, ask: { method: 'GET', path: `/v2/${name}/manifests/${digest}` } },
      'GET of a blob': { status: 307, ask: { method: 'GET', path: `/v2/${name}/blobs/${blob}` } },
    };
    for (const [step, { status, ask }] of Object.entries(asks)) {
      const client = await newServer();
      const counts = await asked(async () => await client.must(status, ask));
      assert.deepEqual(counts, bucketSteps[step as keyof typeof bucketSteps].bucket, step);
    }
  });

  it('are 1 for a list of 11 tags, and 1 for a page of the catalog', async () => {
    const [client, name] = [await newServer(), someName()];
    const { bytes } = await client.pushImage(name, 'v0');
    for (let i = 1; i < 11; i++) await client.pushManifest(name, `v${i}`, bytes);
    for (const path of [`/v2/${name}/tags/list`, '/v2/_catalog'])
      assert.deepEqual(await asked(async () => await client.must(200, { method: 'GET', path })), {
        ListObjectsV2: 1,
      });
  });

  const untagged = isConditional ? 3 : 4;
  it(`are ${untagged} for a DELETE of a tag`, async () => {
    const [client, name] = [await newServer(), someName()];
    await client.pushImage(name, 'v1');
    await client.pushImage(name, 'v1');
    const path = `/v2/${name}/manifests/v1`;
    const counts = await asked(async () => await client.must(202, { method: 'DELETE', path }));
    assert.deepEqual(counts, {
      ListObjectsV2: 1,
      // What brings it back.
      PutObject: 1,
      DeleteObjects: 1,
      ...(!isConditional && { HeadObject: 1 }),
    });
    await client.must(404, { method: 'GET', path });
  });

  it('are 6 for a DELETE of a manifest with 11 tags, one of them a look back', async () => {
    const [client, name] = [await newServer(), someName()];
    const { bytes, digest } = await client.pushImage(name, 'v0');
    for (let i = 1; i < 11; i++) await client.pushManifest(name, `v${i}`, bytes);
    const path = `/v2/${name}/manifests/${digest}`;
    const counts = await asked(async () => await client.must(202, { method: 'DELETE', path }));
    assert.deepEqual(counts, { HeadObject: 1, ListObjectsV2: 2, PutObject: 1, DeleteObjects: 2 });
    await client.must(404, { method: 'GET', path: `/v2/${name}/manifests/v3` });
  });

  const life = isConditional ? 44 : 47;
  it(`are ${life} for all of the life of a small image, one of them for the marks`, async () => {
    // MinIO cuts the catalog of a bucket with many objects into several lists.
    const client = await newServer(await bucketStorage({ ...s3, endpoint: proxy.endpoint }));
    let sum = 0;
    const all: object[] = [];
    for (const { act, title, isPreparation } of lifeOfImage()) {
      const counts = await asked(async () => await act(client));
      all.push({ title, ...counts });
      if (isPreparation !== true) sum += Object.values(counts).reduce((total, one) => total + one, 0);
    }
    assert.equal(sum, life, JSON.stringify(all));
  });
}

async function pushAsStream(client: Client, location: string, bytes: Buffer): Promise<void> {
  const patched = await client.must(202, { method: 'PATCH', path: location, body: bytes, chunked: true });
  await client.must(201, { method: 'PUT', path: withDigest(client.location(patched), digestOf(bytes)) });
}

/** For another server than the one that has sent it. */
function pathOf(location: string): string {
  const { pathname, search } = new URL(location, 'http://any');
  return pathname + search;
}

/** A store whose moves are copies answers each call with one request. */
it('requests of PATCH and PUT of 15 parts are 8 and one for each part, where a server guards copies', async () => {
  const store = new MemoryStore({ copies: true, partsReplace: true, conditionalWrites: true });
  const name = parseRepositoryName('team/app');
  const bytes = randomBytes(15 * store.limits.partSize);
  const id = await createRegistry(store).uploads.start(name);
  const calls: string[] = [];
  const counting = new Proxy<ObjectStore>(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property);
      if (typeof value !== 'function') return value;
      calls.push(String(property));
      return value.bind(target) as unknown;
    },
  });
  const body = (async function* () {
    yield await Promise.resolve(bytes);
  })();
  await createRegistry(counting).uploads.append(name, id, {
    body,
    start: 0,
    length: undefined,
    partial: false,
  });
  await createRegistry(counting).uploads.finish(name, id, parseDigest(digestOf(bytes)), undefined);
  assert.equal(calls.filter((call) => call === 'uploadPart').length, 15);
  assert.equal(calls.length, 8 + 15, calls.join(' '));
});
