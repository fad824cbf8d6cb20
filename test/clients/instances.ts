/** Several instances serve one bucket, and each request reaches another one: they share only the bucket. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { BucketKind, Buckets } from '../servers/buckets.ts';
import { dockerd, type Dockerd } from '../servers/dockerd.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { requires } from '../servers/requires.ts';
import { roundRobin, type RoundRobin } from '../servers/round-robin.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { ChunkClient } from './chunks.ts';
import { tar } from './images.ts';

const MiB = 1024 ** 2;
const INSTANCES = 3;
const IMAGES = 10;

/** Fewer where they are pushed and pulled again and again. */
const SURVIVORS = 5;
const BLOB_SIZE = 40 * MiB;

/** Smaller than a part of a multipart upload (8 MiB), whose size none of them divides but the first. */
const CHUNK_SIZES = [1, 3, 5, 7].map((size) => size * MiB);

/** Milliseconds that an instance which was started again is left alone, and the others with it. */
const CALM = 2000;

/** Of instances in a test: few enough that the clients are done in time, whatever they meet until then. */
const MOST_KILLS = 5;

/** Of instances while blobs are downloaded, until one request has met one that is down. */
const KILLS_TO_NOTICE = 12;

/** Milliseconds between two attempts, and until the last: longer than an instance takes to start on a busy machine. */
const PAUSE = 200;
const PATIENCE = 60_000;

const LIMIT = { timeout: 120_000 };

/** Three instances on one bucket of a kind. */
export function instancesFlow(kind: BucketKind): void {
  describe(`three instances on one bucket of ${kind.name}`, requires(...kind.needs, 'dockerd'), () => {
    let server: Buckets;
    let instances: Instances;
    let proxy: RoundRobin;
    let images: Images;
    let folder: Folder;
    let daemon: Dockerd;

    before(async () => {
      [server, daemon, folder] = await Promise.all([kind.start(), dockerd(), temporaryFolder('instances')]);
      instances = await Instances.start((await server.newBucket()).settings);
      proxy = await roundRobin(instances.addresses);
      images = new Images(daemon, folder.path, proxy.address);
    });

    after(async () => {
      await instances.stop();
      await proxy.stop();
      await daemon.stop();
      await server.stop();
      folder.remove();
    });

    const chunkClient = (name: string, failuresAllowed = 0) =>
      new ChunkClient(`http://${proxy.address}/v2/${name}`, { failuresAllowed });

    it('docker pushes and pulls images', LIMIT, async () => {
      const sinceThen = proxy.requestsTo.slice();
      const built = await images.build('app', IMAGES);
      await together(built, async ({ name }) => {
        await images.push(name);
      });
      await images.forgetAll();
      await together(built, async ({ name }) => {
        await images.pull(name);
      });
      await images.check(built);
      proxy.requestsTo.forEach((requests, index) => {
        assert.ok(
          requests - (sinceThen[index] ?? 0) > IMAGES,
          `requests to each: ${proxy.requestsTo.join()}`,
        );
      });
    });

    for (const chunkSize of CHUNK_SIZES)
      it(
        `an upload in chunks of ${chunkSize / MiB} MiB moves from one instance to the next`,
        LIMIT,
        async () => {
          const sinceThen = proxy.requestsTo.slice();
          const client = chunkClient('chunks');
          const bytes = randomBytes(BLOB_SIZE);
          const digest = await client.upload(bytes, chunkSize);
          assert.ok(bytes.equals(await client.download(digest, server.endpoint)));
          // POST, a PATCH for each chunk, PUT, GET: one after the other, so in turn.
          const requests = Math.ceil(BLOB_SIZE / chunkSize) + 3;
          const each = proxy.requestsTo.map((count, index) => count - (sinceThen[index] ?? 0));
          assert.equal(
            each.reduce((sum, count) => sum + count),
            requests,
          );
          assert.ok(
            Math.min(...each) >= Math.floor(requests / INSTANCES),
            `requests to each: ${each.join()}`,
          );
        },
      );

    describe('while one after the other is killed', () => {
      const client = () => chunkClient('survivors', 1000);
      let built: readonly Image[];
      let uploaded: readonly Uploaded[];

      const pullAll = async (pull: (image: Image) => Promise<void>) => {
        await images.forgetAll();
        await together(built, pull);
        await images.check(built);
      };
      const downloadAll = async (from: ChunkClient) => {
        for (const { bytes, digest } of uploaded)
          assert.ok(bytes.equals(await from.download(digest, server.endpoint)));
      };

      it('pushes succeed while instances are killed, and nothing is lost', LIMIT, async () => {
        built = await images.build('survivor', SURVIVORS);
        const uploader = client();
        const push = async ({ name }: Image) => {
          await persist(async () => {
            await images.push(name);
          });
        };
        [uploaded] = await instances.whileKilled(
          async (more) => await Promise.all([uploadInAllSizes(uploader, more), together(built, push)]),
        );
        assert.ok(uploader.failures > 0, 'the client did not notice');
        await pullAll(async ({ name }) => {
          await images.pull(name);
        });
        await downloadAll(chunkClient('survivors'));
      });

      it('pulls succeed while instances are killed', LIMIT, async () => {
        const downloader = client();
        const pull = async ({ name }: Image) => {
          await persist(async () => {
            await images.pull(name);
          });
        };
        await instances.whileKilled(async (more) => {
          // A fast bucket leaves few requests for an instance that is down, so until one has met it.
          const end = Date.now() + PATIENCE;
          const unnoticed = () => more() || (downloader.failures === 0 && Date.now() < end);
          const downloads = repeat(unnoticed, async () => {
            await downloadAll(downloader);
          });
          await Promise.all([
            downloads,
            repeat(more, async () => {
              await pullAll(pull);
            }),
          ]);
        }, KILLS_TO_NOTICE);
        assert.ok(downloader.failures > 0, 'the client did not notice');
      });
    });
  });
}

/** Uploads blobs in chunks of all sizes at the same time. */
async function uploadInAllSizes(client: ChunkClient, more: () => boolean): Promise<Uploaded[]> {
  const uploaded: Uploaded[] = [];
  await together(CHUNK_SIZES, async (chunkSize) => {
    await repeat(more, async () => {
      const bytes = randomBytes(BLOB_SIZE);
      uploaded.push({ bytes, digest: await client.upload(bytes, chunkSize) });
    });
  });
  return uploaded;
}

interface Uploaded {
  readonly bytes: Buffer;
  readonly digest: string;
}

/** Instances with one secret. Any may be killed, and started again at its address. */
class Instances {
  readonly #settings: Readonly<Record<string, string>>;
  readonly #running: Stowage[];

  static async start(storage: Readonly<Record<string, string>>): Promise<Instances> {
    const settings = { ...storage, REGISTRY_HTTP_SECRET: randomBytes(32).toString('hex') };
    const running = Array.from({ length: INSTANCES }, async () => await serve(settings));
    return new Instances(settings, await Promise.all(running));
  }

  private constructor(settings: Readonly<Record<string, string>>, running: Stowage[]) {
    this.#settings = settings;
    this.#running = running;
  }

  get addresses(): string[] {
    return this.#running.map(({ address }) => address);
  }

  /**
   * Kills one after the other until the work is done, but each at least once. All run when it resolves.
   * @param work is told whether an instance is still to be killed for the first time, so that it goes on
   */
  async whileKilled<T>(work: (more: () => boolean) => Promise<T>, most = MOST_KILLS): Promise<T> {
    let kills = 0;
    let done = false;
    const kill = async () => {
      while (kills < INSTANCES || (!done && kills < most)) {
        await delay(CALM);
        await this.#restart(kills % INSTANCES);
        kills++;
      }
    };
    const worked = work(() => kills < INSTANCES).finally(() => {
      done = true;
    });
    const [result] = await Promise.all([worked, kill()]);
    return result;
  }

  async #restart(index: number): Promise<void> {
    const instance = this.#running[index];
    assert.ok(instance);
    await instance.kill();
    this.#running[index] = await serve(this.#settings, { REGISTRY_HTTP_ADDR: instance.address });
  }

  async stop(): Promise<void> {
    await together(this.#running, async (instance) => {
      await instance.stop();
    });
  }
}

interface Image {
  readonly name: string;
  readonly id: string;
}

/** Small images of three layers, the lowest of them in all. */
class Images {
  readonly #daemon: Dockerd;
  readonly #folder: string;
  readonly #address: string;

  constructor(daemon: Dockerd, folder: string, address: string) {
    this.#daemon = daemon;
    this.#folder = folder;
    this.#address = address;
  }

  /** Builds some, each for a repository of its own. */
  async build(prefix: string, count: number): Promise<Image[]> {
    const base = join(this.#folder, 'base.tar');
    await writeFile(base, tar([{ name: 'base', content: randomBytes(1000) }]));
    await this.#daemon.docker('import', base, 'base');
    const names = Array.from({ length: count }, (_, number) => `${prefix}-${number}`);
    return await together(names, async (name) => await this.#buildOne(name));
  }

  async #buildOne(name: string): Promise<Image> {
    const context = join(this.#folder, name);
    await mkdir(context);
    await writeFile(join(context, 'small'), randomBytes(1000));
    await writeFile(join(context, 'large'), randomBytes(300_000));
    await writeFile(join(context, 'Dockerfile'), 'FROM base\nCOPY small /small\nCOPY large /large\n');
    await this.#daemon.docker('build', '--tag', this.#reference(name), context);
    return { name, id: await this.#idOf(name) };
  }

  async push(name: string): Promise<void> {
    await this.#daemon.docker('push', this.#reference(name));
  }

  async pull(name: string): Promise<void> {
    await this.#daemon.docker('pull', this.#reference(name));
  }

  /** Removes them with all their layers, so that a pull has to fetch all. */
  async forgetAll(): Promise<void> {
    await this.#daemon.docker('image', 'prune', '--all', '--force');
    assert.equal((await this.#daemon.docker('images', '--all', '--quiet')).text, '');
  }

  /** An image's id is the digest of its configuration, which names the digests of its layers. */
  async check(images: readonly Image[]): Promise<void> {
    for (const { name, id } of images) assert.equal(await this.#idOf(name), id);
  }

  #reference(name: string): string {
    return `${this.#address}/${name}`;
  }

  async #idOf(name: string): Promise<string> {
    return (await this.#daemon.docker('image', 'inspect', '--format', '{{.Id}}', this.#reference(name))).text;
  }
}

async function together<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  return await Promise.all(items.map(work));
}

/** Does it once, and again while more is wanted. */
async function repeat(more: () => boolean, work: () => Promise<void>): Promise<void> {
  do await work();
  while (more());
}

/**
 * Tries again what docker has given up, for it repeats layers by itself, but not manifests. In time rather than in
 * attempts: while an instance is down they fail at once, and where each makes as many requests as there are instances
 * they all meet that one.
 */
async function persist(work: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await delay(PAUSE);
    }
  }
}
