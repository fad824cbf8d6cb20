import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { RepositoryName } from '../../lib/protocol/names.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import { registryPrefix } from '../../lib/registry/layout.ts';
import { listObjects } from '../../lib/registry/list-objects.ts';
import { passwordOf } from '../access/policy-registry.ts';
import {
  freshName,
  pull,
  pushImage,
  pushManifest,
  tagsOf,
  v1,
  type PushedImage,
} from '../registry/undo/images.ts';
import { requires } from '../servers/requires.ts';
import { startUpstreams, type Upstreams } from '../upstream/upstreams.ts';
import { rootDirectory, store, stowage } from './undo-fixture.ts';

/** Writes a list of mirrors. JSON is YAML. */
async function list(content: unknown): Promise<string> {
  const path = join(rootDirectory(), 'mirrors.yaml');
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

describe('the command stowage sync', requires('docker-registry'), () => {
  let upstreams: Upstreams;
  let from: RepositoryName;
  let first: PushedImage;
  let env: Record<string, string>;
  let registries: Record<string, unknown>;

  const auth = Buffer.from(`alice:${passwordOf('alice')}`).toString('base64');
  const sourceOf = (name: string) => `${upstreams.withTokens.url.host}/${name}`;

  before(async () => {
    upstreams = await startUpstreams();
    from = freshName();
    first = await pushImage(upstreams.store, from, 'v1', 'v1.1', 'v1.2-rc1', 'latest');
    const { host } = upstreams.withTokens.url;
    const file = join(rootDirectory(), 'auth.json');
    await writeFile(file, JSON.stringify({ auths: { [host]: { auth } } }));
    env = { REGISTRY_AUTH_FILE: file };
    registries = { [host]: { plainHttp: true, privateAddresses: true } };
  });
  beforeEach(() => {
    upstreams.withTokens.reset();
  });
  after(async () => {
    await upstreams.stop();
  });

  /** All objects of the storage, each with when it was written. */
  const objects = async () =>
    (await Array.fromAsync(listObjects(store, registryPrefix))).map(
      ({ key, lastModified }) => `${key} ${lastModified.getTime()}`,
    );

  it('brings the tags that the patterns choose, and writes nothing of what is there', async () => {
    const target = freshName();
    const path = await list({
      registries,
      images: [{ source: sourceOf(from), target, tags: ['v*', '!*-rc*'] }],
    });
    const dry = await stowage(['sync', path, '--dry-run'], env);
    assert.equal(dry.code, 0, dry.errors);
    assert.equal(dry.output.match(/^would copy /gm)?.length, 2);
    await assert.rejects(tagsOf(store, target));
    const { code, output } = await stowage(['sync', path], env);
    assert.deepEqual([code, output.match(/^copied /gm)?.length], [0, 2]);
    assert.deepEqual(await tagsOf(store, target), ['v1', 'v1.1']);
    upstreams.withTokens.reset();
    const before = await objects();
    const again = await stowage(['sync', path, '--json'], env);
    assert.deepEqual(await objects(), before);
    const { images } = JSON.parse(again.output) as { images: { status: string }[] };
    assert.deepEqual(
      images.map(({ status }) => status),
      ['present', 'present'],
    );
    const { requests } = upstreams.withTokens;
    assert.ok(!requests.some(({ method, url }) => /\/blobs\/|\/manifests\//.test(url) && method === 'GET'));
    assert.equal(requests.filter(({ url }) => url.includes('/manifests/')).length, 2);
  });

  it('follows a tag that has moved, and keeps one that is gone from its source', async () => {
    const [name, target] = [freshName(), freshName()];
    await pushImage(upstreams.store, name, 'v1', 'v2');
    const path = await list({ registries, images: [{ source: sourceOf(name), target, tags: '*' }] });
    assert.equal((await stowage(['sync', path], env)).code, 0);
    const old = await pull(store, target, parseTag('v2'));
    const { digest } = await pushImage(upstreams.store, name, 'v1');
    assert.equal((await stowage(['sync', path], env)).code, 0);
    assert.equal(await pull(store, target, v1), digest);
    assert.equal(await pull(store, target, parseTag('v2')), old);
  });

  it('goes on after an image that fails, and then exits with 1', async () => {
    const target = freshName();
    const path = await list({
      registries,
      images: [
        { source: `${sourceOf(from)}:gone`, target },
        { source: 'other.invalid/app', target, tags: '*' },
        { source: sourceOf(from), target, tags: ['v2*', '!*-rc*'] },
        { source: `${sourceOf(from)}:v1`, target },
      ],
    });
    const { code, output, errors } = await stowage(['sync', path], env);
    assert.equal(code, 1);
    assert.match(errors, /^FAILED \S+:gone to \S+:gone: .* answered 404/m);
    assert.match(errors, /^FAILED other\.invalid\/app to \S+: other\.invalid did not answer/m);
    assert.match(errors, /^FAILED \S+ to \S+: no tag of \S+ matches v2\*, !\*-rc\*\.$/m);
    assert.match(output, /^copied \S+:v1 to \S+:v1 at /m);
    assert.equal(await pull(store, target, v1), first.digest);
  });

  it('copies the image of one platform, and refuses an index that would be incomplete', async () => {
    const [name, target] = [freshName(), freshName()];
    const images = [await pushImage(upstreams.store, name), await pushImage(upstreams.store, name)];
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const manifests = images.map(({ digest, bytes }, i) => ({
      mediaType,
      digest,
      size: bytes.length,
      platform: { os: 'linux', architecture: ['amd64', 'arm64'][i] },
    }));
    const third = await pushImage(upstreams.store, name);
    const entry = { mediaType, digest: third.digest, size: third.bytes.length };
    manifests.push({ ...entry, platform: { os: 'linux', architecture: 's390x' } });
    const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests };
    await pushManifest(upstreams.store, name, Buffer.from(JSON.stringify(index)), 'v1');
    const source = `${sourceOf(name)}:v1`;
    const one = await list({ registries, images: [{ source, target, platforms: 'linux/arm64' }] });
    assert.equal((await stowage(['sync', one], env)).code, 0);
    assert.equal(await pull(store, target, v1), images[1]?.digest);
    const platforms = ['linux/amd64', 'linux/arm64'];
    const two = await list({ registries, images: [{ source, target, platforms }] });
    const refused = await stowage(['sync', two], env);
    assert.equal(refused.code, 1);
    assert.match(refused.errors, /accepts no index without all of its images: set REGISTRY_VALIDATION_/);
    const permitted = {
      REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMS: 'list',
      REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMLIST: platforms.join(),
    };
    assert.equal((await stowage(['sync', two], { ...env, ...permitted })).code, 0);
    const unknown = await list({ registries, images: [{ source, target, platforms: 'linux/mips' }] });
    assert.match((await stowage(['sync', unknown], env)).errors, /has no image for linux\/mips/);
  });

  it('says all that is wrong with a list', async () => {
    const path = await list(`images:
  - { source: 'team app', target: mirror/app, tags: '*' }
  - { source: docker.io/library/alpine, target: mirror/alpine }
  - { source: 'docker.io/library/alpine:3', target: other.example.com/alpine }
  - { source: docker.io/library/alpine, target: mirror/alpine, tags: ['!x'], platforms: amd64 }
  - { source: 'docker.io/library/alpine:3', target: mirror/alpine, platform: linux/amd64 }
`);
    const { code, errors } = await stowage(['sync', path]);
    assert.equal(code, 1);
    for (const line of [
      /line 2: source of image 1: "team app" is not an image/,
      /line 3: image 2 needs either a tag in its source, or tags/,
      /line 4: target of image 3 is other\.example\.com\/alpine; it must be a repository in this registry/,
      /line 5: tags of image 4 begins with an exclusion/,
      /line 5: platforms of image 4: "amd64" is not a platform/,
      /line 6: image 5 has no key "platform"; did you mean platforms\?$/m,
    ])
      assert.match(errors, line);
  });
});
