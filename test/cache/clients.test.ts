import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { contentOf, forgetAll } from '../clients/containerd.ts';
import { readBlobs, writeImage, type Layout } from '../clients/images.ts';
import { Client, digestOf } from '../functions/client.ts';
import { withWorkers } from '../infra/running-workers.ts';
import { readMetrics, sumOf } from '../metrics/text-format.ts';
import { containerd, type Containerd } from '../servers/containerd.ts';
import { dockerd } from '../servers/dockerd.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { goProgramPlace } from '../servers/go-programs.ts';
import { freePort } from '../servers/ports.ts';
import { command } from '../servers/process.ts';
import { requires } from '../servers/requires.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { alice, startUpstreams, type Upstreams } from '../upstream/upstreams.ts';

const MiB = 1024 ** 2;

describe('clients of a cache', requires('docker-registry'), () => {
  let folder: Folder;
  let upstreams: Upstreams;
  let layouts = 0;

  before(async () => {
    folder = await temporaryFolder('cache-clients');
    upstreams = await startUpstreams();
  });

  after(async () => {
    await upstreams.stop();
    folder.remove();
  });

  const newFolder = async () => {
    const path = join(folder.path, String((layouts += 1)));
    await mkdir(path);
    return path;
  };

  /** An image in the upstream. */
  async function pushed(name: string, tag: string): Promise<Layout> {
    const layout = await writeImage(await newFolder(), [1000, 2 * MiB]);
    const registry = createRegistry(upstreams.store);
    const repository = parseRepositoryName(name);
    const read = async (digest: string) =>
      await readFile(join(layout.folder, 'blobs', digest.replace(':', '/')));
    for (const digest of await readBlobs(layout.folder)) {
      const bytes = await read(digest);
      if (digest !== layout.digest)
        await registry.uploads.put(repository, parseDigest(digest), {
          body: pieces(bytes),
          length: bytes.length,
        });
    }
    await registry.manifests.put(repository, parseReference(tag), await read(layout.digest), undefined);
    return layout;
  }

  const credentials = { username: alice.user, password: alice.password };

  /** Repositories below `mirror/`. */
  const prefixed = (upstream: { readonly url: URL }) => ({
    REGISTRY_PROXY_UPSTREAMS: JSON.stringify([
      {
        ...{ prefix: 'mirror/**', url: upstream.url.origin, ns: 'images.example.com' },
        ...{ insecure: true, privateaddresses: true, ...credentials },
      },
    ]),
  });

  /** As docs/cache.md says, but for the addresses. */
  describe('containerd', requires('containerd'), () => {
    let daemon: Containerd;
    let cache: Stowage;
    let counts: () => Promise<{ readonly hits: number; readonly misses: number }>;

    before(async () => {
      const place = await newFolder();
      const [config = '', rules = '', retention = ''] = blocksOf('yaml');
      await writeFile(join(place, 'config.yml'), config);
      await writeFile(join(place, 'policy.yaml'), `${rules}${retention}`);
      const debug = `127.0.0.1:${await freePort()}`;
      cache = await serve({
        REGISTRY_CONFIGURATION_PATH: join(place, 'config.yml'),
        REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: join(place, 'images'),
        REGISTRY_AUTH_POLICY_PATH: join(place, 'policy.yaml'),
        REGISTRY_PROXY_UPSTREAMS_DOCKER_HUB_URL: upstreams.withTokens.url.origin,
        REGISTRY_PROXY_UPSTREAMS_DOCKER_HUB_NS: 'docker.io',
        REGISTRY_PROXY_UPSTREAMS_DOCKER_HUB_INSECURE: 'true',
        REGISTRY_PROXY_UPSTREAMS_DOCKER_HUB_PRIVATEADDRESSES: 'true',
        REGISTRY_PROXY_UPSTREAMS_DOCKER_HUB_USERNAME: alice.user,
        REGISTRY_PROXY_UPSTREAMS_DOCKER_HUB_PASSWORD: alice.password,
        REGISTRY_HTTP_DEBUG_ADDR: debug,
      });
      counts = async () => {
        const lines = readMetrics(await (await fetch(`http://${debug}/metrics`)).text());
        const count = (what: string) => sumOf(lines, `registry_proxy_${what}_total`);
        return { hits: count('hits'), misses: count('misses') };
      };
      daemon = await containerd();
    });

    after(async () => {
      await cache.stop();
      await daemon.stop();
    });

    for (const [what, at] of [
      ['with ns', 0],
      ['with the prefix in the path', 1],
    ] as const)
      it(`pulls an image by its own name, ${what}`, async () => {
        const tag = what.replaceAll(' ', '-');
        const layout = await pushed('library/nginx', tag);
        const hosts = await newFolder();
        await mkdir(join(hosts, 'docker.io'));
        const text = blocksOf('toml')[at] ?? '';
        assert.match(text, /^server = "https:\/\/registry-1\.docker\.io"$/m);
        // Nobody is there to fall back to.
        const own = text
          .replace('https://registry-1.docker.io', 'http://127.0.0.1:1')
          .replace('https://registry.example.com', `http://${cache.address}`);
        await writeFile(join(hosts, 'docker.io/hosts.toml'), own);
        const pull = async () => {
          const options = ['--hosts-dir', hosts, '--snapshotter', 'native'];
          await daemon.ctr('images', 'pull', ...options, `docker.io/library/nginx:${tag}`);
          assert.deepEqual(await contentOf(daemon), await readBlobs(layout.folder));
          await forgetAll(daemon);
          return await counts();
        };
        const before = await counts();
        const first = await pull();
        assert.ok(first.misses > before.misses);
        const second = await pull();
        assert.equal(second.misses, first.misses);
        assert.ok(second.hits > first.hits);
        const [, logged = 'the page names none'] =
          /logs deploy\/registry-stowage \| grep '(.+)'/.exec(page) ?? [];
        assert.ok(cache.output().includes(logged), cache.output());
      });
  });

  describe('docker', requires('dockerd'), () => {
    it('pulls images of Docker Hub through a registry that is nothing but its cache', async () => {
      await pushed('library/alpine', 'v1');
      const cache = await serve(await newFolder(), {
        REGISTRY_PROXY_REMOTEURL: upstreams.withBasic.url.origin,
        REGISTRY_PROXY_USERNAME: alice.user,
        REGISTRY_PROXY_PASSWORD: alice.password,
        REGISTRY_PROXY_INSECURE: 'true',
        REGISTRY_PROXY_PRIVATEADDRESSES: 'true',
      });
      const daemon = await dockerd(temporaryFolder, undefined, {
        'registry-mirrors': [`http://${cache.address}`],
      });
      try {
        const { text } = await daemon.docker('pull', 'alpine:v1');
        assert.match(text, /Downloaded newer image for alpine:v1/);
      } finally {
        await daemon.stop();
        await cache.stop();
      }
    });
  });

  describe('oras', requires('oras'), () => {
    for (const [what, upstream] of [
      ['with the API of referrers', () => upstreams.withTokens],
      ['with a list at a tag', () => upstreams.withBasic],
    ] as const)
      it(`finds what is attached to an image of an upstream ${what}, and copies it`, async () => {
        const cwd = await newFolder();
        const oras = async (...args: string[]) => await command(goProgramPlace('oras').file, args, { cwd });
        const login = ['--plain-http', '--username', alice.user, '--password', alice.password];
        const name = `team/oras-${what.replaceAll(' ', '-').toLowerCase()}`;
        const origin = `${upstream().url.host}/${name}:v1`;
        await writeFile(join(cwd, 'file'), 'content');
        await oras('push', ...login, origin, 'file');
        await oras('attach', ...login, '--artifact-type', 'application/spdx+json', origin, 'file');
        const cache = await serve(await newFolder(), prefixed(upstream()));
        try {
          const here = `${cache.address}/mirror/${name}`;
          const tags = await oras('repo', 'tags', '--plain-http', here);
          assert.match(tags.text, /^v1$/m);
          const found = await oras('discover', '--plain-http', '--format', 'json', `${here}:v1`);
          const { referrers } = JSON.parse(found.text) as { referrers: { artifactType: string }[] };
          assert.deepEqual(
            referrers.map(({ artifactType }) => artifactType),
            ['application/spdx+json'],
          );
          await oras('cp', '--recursive', '--from-plain-http', '--to-oci-layout', `${here}:v1`, 'copied:v1');
          // Two manifests, and their blobs: the file, and an empty config.
          assert.equal((await readBlobs(join(cwd, 'copied'))).length, 4);
        } finally {
          await cache.stop();
        }
      });
  });

  it('64 clients of several workers make one download', async () => {
    const layout = await pushed('team/workers', 'v1');
    const place = await newFolder();
    await withWorkers(place, 3, prefixed(upstreams.withTokens), async (registry) => {
      const client = new Client(`http://${registry.address}`);
      const blobs = (await readBlobs(layout.folder)).filter((digest) => digest !== layout.digest);
      upstreams.withTokens.reset();
      await Promise.all(
        Array.from({ length: 64 }, async (_, i) => {
          const digest = blobs[i % blobs.length] ?? '';
          const { body } = await client.must(200, {
            method: 'GET',
            path: `/v2/mirror/team/workers/blobs/${digest}`,
          });
          assert.equal(digestOf(body), digest);
        }),
      );
      const downloads = upstreams.withTokens.requests
        .filter(({ url, headers }) => url.includes('/blobs/') && headers.authorization !== undefined)
        .map(({ url }) => url);
      assert.deepEqual(downloads.sort(), [...new Set(downloads)].sort());
      assert.equal(downloads.length, blobs.length);
    });
  });
});

const page = readFileSync(join(import.meta.dirname, '../../docs/cache.md'), 'utf8');

/** What the page has of a language, without what indents it. */
function blocksOf(language: string): readonly string[] {
  const blocks = page.matchAll(new RegExp(`^( *)\`\`\`${language}\\n(.*?)^ *\`\`\`$`, 'gms'));
  return [...blocks].map(([, indent = '', text = '']) => text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''));
}

async function* pieces(bytes: Buffer): AsyncGenerator<Uint8Array, void> {
  yield await Promise.resolve(bytes);
}
