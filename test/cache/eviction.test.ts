import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { after, before, beforeEach, describe, it } from 'node:test';
import { loadConfig } from '../../lib/config/config.ts';
import { blobsPrefix, repositoriesPrefix } from '../../lib/registry/layout.ts';
import { listObjects } from '../../lib/registry/list-objects.ts';
import { startServer } from '../../lib/server/server.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { Client, digestOf } from '../functions/client.ts';
import { ageFiles } from '../retention/aged.ts';
import { runStowage } from '../infra/run-node.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { requires } from '../servers/requires.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { alice, startUpstreams, type Upstreams } from '../upstream/upstreams.ts';
import { pullImage, pushUpstream, type UpstreamImage } from './pulled-images.ts';

const dayMs = 24 * 3_600_000;
const kB = 1000;

describe('a cache that is emptied by rules', requires('docker-registry'), () => {
  let upstreams: Upstreams;
  let rules: Folder;
  let storage: TestStorage;
  let store: ObjectStore;
  let settings: Readonly<Record<string, string>>;
  const used: TestStorage[] = [];

  before(async () => {
    upstreams = await startUpstreams();
    rules = await temporaryFolder('eviction');
  });

  after(async () => {
    await upstreams.stop();
    rules.remove();
    for (const each of used) each.remove();
  });

  beforeEach(async () => {
    storage = await folderStorage();
    used.push(storage);
    store = await storage.open();
  });

  /** Settings with one rule for retention of the cache. */
  async function withRule(rule: string): Promise<void> {
    const path = join(rules.path, 'rules.yaml');
    await writeFile(path, `retention:\n  - { repositories: mirror/**, ${rule} }\n`);
    settings = {
      ...storage.settings,
      REGISTRY_RETENTION_PATH: path,
      REGISTRY_GC_DELAY: '0s',
      REGISTRY_PROXY_UPSTREAMS: JSON.stringify([
        {
          ...{ prefix: 'mirror/**', url: upstreams.withTokens.url.origin },
          ...{ insecure: true, privateaddresses: true, username: alice.user, password: alice.password },
        },
      ]),
    };
  }

  /** Does something with a server that is the cache, and remembers no pulls of the one before. */
  async function served(work: (client: Client) => Promise<void>): Promise<void> {
    const server = await startServer(
      'server',
      loadConfig('server', {
        ...settings,
        REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
        REGISTRY_HTTP_SECRET: 'the secret of a test',
        REGISTRY_LOG_LEVEL: 'error',
      }),
    );
    try {
      await work(new Client(server.url));
    } finally {
      await server.stop();
    }
  }

  /**
   * Images in the upstream, pulled four days ago; and one of this registry's own, which has the layer of the first.
   * @param tagged how many of them were pulled by their tag, the others by their digest
   */
  async function pulledBefore(tagged = 4): Promise<UpstreamImages> {
    const image = async () => await pushUpstream(upstreams.store, randomBytes(500 * kB));
    const images = [await image(), await image(), await image(), await image()] as const;
    await pushUpstream(store, images[0].layer, 'team/own');
    await served(async (client) => {
      for (const [i, one] of images.entries())
        await pullImage(client, `mirror/${one.name}`, one, i < tagged ? {} : byDigest(one));
    });
    await ageFiles(storage.settings['REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY'] ?? '', 4 * dayMs);
    return images;
  }

  async function stowage(...args: string[]): Promise<string> {
    const { code, output, errors } = await runStowage(args, settings);
    assert.equal(code, 0, errors);
    return output;
  }

  /** Collects garbage until nothing is left to do. */
  async function collected(): Promise<void> {
    for (let more = true; more;) {
      const { waiting } = JSON.parse(await stowage('gc', '--exclusive', '--json')) as {
        waiting: readonly { readonly from: string }[];
      };
      const [first] = waiting;
      more = first !== undefined;
      if (first !== undefined) await setTimeout(Math.max(0, Date.parse(first.from) - Date.now()) + 100);
    }
  }

  const objectsIn = async (prefix: string) => await Array.fromAsync(listObjects(store, prefix));
  const keysOf = async (name: string) =>
    (await objectsIn(`${repositoriesPrefix}${name}/`)).map(({ key }) => key);
  const bytesOfBlobs = async () => (await objectsIn(blobsPrefix)).reduce((sum, { size }) => sum + size, 0);

  it('by their size: what was used last stays, and the bucket is as small', async () => {
    await withRule('keep: { size: 1200 kB }, otherwise: delete');
    const images = await pulledBefore();
    const [a, b, c, d] = images;
    const own = await keysOf('team/own');
    await served(async (client) => {
      await pullImage(client, `mirror/${b.name}`, b);
      // As pods do whose images are named by digest.
      await pullImage(client, `mirror/${c.name}`, c, byDigest(c));
    });
    const plan = await stowage('retention', 'plan');
    assert.match(plan, /^keep {4}team\/own: no rule is about this repository$/m);
    for (const { name, index, manifest } of [a, d]) {
      assert.match(plan, new RegExp(`^remove  mirror/${name}:v1: .*: nothing keeps it`, 'm'));
      for (const bytes of [index, manifest])
        assert.match(plan, new RegExp(`^remove  mirror/${name}@${digestOf(bytes)}: `, 'm'));
    }
    for (const { name } of [b, c])
      assert.match(
        plan,
        new RegExp(`^keep    mirror/${name}:v1: .*: among the 1.2 MB that were used last$`, 'm'),
      );
    assert.match(plan, /would remove 2 tags and keep 2, and remove 4 manifests without a tag\n$/);
    assert.match(await stowage('retention', 'apply'), /\nremoved 2 tags and 4 manifests without a tag\n$/);
    await collected();
    // Beside the cache there is the layer of its own image, which was that of an evicted one.
    assert.ok((await bytesOfBlobs()) <= (1200 + 510) * kB);
    for (const { name } of [a, d]) assert.deepEqual(await keysOf(`mirror/${name}`), []);
    assert.deepEqual(await keysOf('team/own'), own);
    await served(async (client) => {
      for (const each of images) await pullImage(client, `mirror/${each.name}`, each);
    });
  });

  it('by last use: a tag that nobody has pulled goes, and an image that was pulled by its digest', async () => {
    await withRule('keep: { pulledWithin: 2d }, otherwise: delete, untaggedAfter: 2d');
    const images = await pulledBefore(2);
    const [a, b, c, d] = images;
    await served(async (client) => {
      await pullImage(client, `mirror/${b.name}`, b);
      await pullImage(client, `mirror/${c.name}`, c, byDigest(c));
    });
    await stowage('retention', 'plan');
    assert.match(
      await stowage('retention', 'apply'),
      new RegExp(`^removed mirror/${a.name}:v1: .*\nremoved 1 tag\n$`),
    );
    await collected();
    assert.deepEqual(await keysOf(`mirror/${d.name}`), []);
    await served(async (client) => {
      upstreams.withTokens.reset();
      for (const each of [b, c]) await pullImage(client, `mirror/${each.name}`, each, byDigest(each));
      assert.deepEqual(upstreams.withTokens.requests, []);
      for (const each of [a, d]) await pullImage(client, `mirror/${each.name}`, each);
    });
  });
});

const byDigest = ({ index }: UpstreamImage) => ({ reference: digestOf(index) });

type UpstreamImages = readonly [UpstreamImage, UpstreamImage, UpstreamImage, UpstreamImage];
