import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Digest } from '../../lib/protocol/digests.ts';
import type { RepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { UpstreamError, type UpstreamTags } from '../../lib/upstream/upstream.ts';
import { digestOf, freshName, pushImage, type PushedImage } from '../registry/undo/images.ts';
import { bytesOf, imageOf, types } from '../registry/manifest-steps.ts';
import type { RegistryFate, RegistryProxy, SeenRequest } from '../servers/registry-proxy.ts';
import { requires } from '../servers/requires.ts';
import { clientOf, startUpstreams, type Upstreams } from './upstreams.ts';

const v1 = parseReference('v1');

function failed(kind: UpstreamError['kind'], message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof UpstreamError, String(error));
    assert.match(error.message, message);
    assert.equal(error.kind, kind);
    return true;
  };
}

const isManifest = ({ url }: SeenRequest) => url.includes('/manifests/');
const isBlob = ({ url }: SeenRequest) => url.includes('/blobs/');

describe('the client of another registry', requires('docker-registry'), () => {
  let upstreams: Upstreams;
  let name: RepositoryName;
  let image: PushedImage;
  let large: { readonly digest: Digest; readonly bytes: Buffer };

  before(async () => {
    upstreams = await startUpstreams();
    name = freshName();
    image = await pushImage(upstreams.store, name, 'v1', 'v2');
    const bytes = randomBytes(5_000_000);
    large = { digest: digestOf(bytes), bytes };
    const body = (async function* () {
      yield await Promise.resolve(bytes);
    })();
    await createRegistry(upstreams.store).uploads.put(name, large.digest, { body, length: bytes.length });
  });
  beforeEach(() => {
    upstreams.withTokens.reset();
    upstreams.withBasic.reset();
  });
  after(async () => {
    await upstreams.stop();
  });

  async function emptyBlob(repository: RepositoryName): Promise<Digest> {
    const bytes = Buffer.from('{}');
    const body = (async function* () {
      yield await Promise.resolve(bytes);
    })();
    const options = { body, length: bytes.length };
    return (await createRegistry(upstreams.store).uploads.put(repository, digestOf(bytes), options)).digest;
  }

  /** Lets the first request that matches, or the first few, have a fate. */
  const first = (
    proxy: RegistryProxy,
    what: (seen: SeenRequest) => boolean,
    fate: RegistryFate,
    times = 1,
  ) => {
    let left = times;
    proxy.fate = (seen) => (what(seen) && left-- > 0 ? fate : 'pass');
  };

  for (const kind of ['withTokens', 'withBasic'] as const)
    describe(kind === 'withTokens' ? 'that asks for tokens' : 'that asks for a password', () => {
      const proxy = () => upstreams[kind];

      it('resolves tags and digests, and reads manifests, blobs and tags', async () => {
        const client = clientOf(proxy());
        const expected = {
          digest: image.digest,
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          size: image.bytes.length,
        };
        assert.deepEqual(await client.resolve(name, v1), expected);
        assert.deepEqual(await client.resolve(name, parseReference(image.digest)), expected);
        assert.deepEqual(await client.manifest(name, image.digest), { ...expected, bytes: image.bytes });
        const { size, body } = await client.blob(name, large.digest);
        assert.equal(size, large.bytes.length);
        assert.deepEqual(await buffer(body), large.bytes);
        assert.deepEqual(await Array.fromAsync(client.tags(name)), ['v1', 'v2']);
      });

      it('lists referrers by the API or the list at a tag', async () => {
        const client = clientOf(proxy());
        const subject = await pushImage(upstreams.store, freshName(), 'v1');
        const repository = freshName();
        const about = { mediaType: types.ociImage, digest: subject.digest, size: subject.bytes.length };
        const registry = createRegistry(upstreams.store);
        const signature = imageOf(await emptyBlob(repository), [], {
          artifactType: 'application/x-signature',
          annotations: { note: 'checked' },
          subject: about,
        });
        const entry = {
          mediaType: types.ociImage,
          digest: digestOf(signature),
          size: signature.length,
          artifactType: 'application/x-signature',
          annotations: { note: 'checked' },
        };
        await registry.manifests.put(repository, parseReference('signature'), signature, undefined);
        // As clients keep it for registries without the API.
        const index = bytesOf({ schemaVersion: 2, mediaType: types.ociIndex, manifests: [entry] });
        const tag = subject.digest.replace(':', '-');
        await registry.manifests.put(repository, parseReference(tag), index, undefined);
        assert.deepEqual(await client.referrerEntries(repository, subject.digest), [entry]);
        assert.deepEqual(await client.referrerEntries(repository, digestOf(randomBytes(1))), []);
        assert.deepEqual(await client.referrerEntries(freshName(), subject.digest), []);
      });

      it('lists tags by pages in lexical order, after any name', async () => {
        const client = clientOf(proxy());
        const repository = freshName();
        // In no order: distribution 2 lists them as its folder does, which may be as they were made, or the other way round.
        const tags = ['m', 'Z', '10', 'b', 'v1', '_x', '2', 'a', 'q', '1', 'c', 'v10'];
        await pushImage(upstreams.store, repository, ...tags);
        const sorted = ['1', '10', '2', 'Z', '_x', 'a', 'b', 'c', 'm', 'q', 'v1', 'v10'];
        const listed: string[] = [];
        for (let last: string | undefined = ''; last !== undefined;) {
          const page: UpstreamTags = await client.tagPage(repository, { n: 5, last });
          assert.ok(page.tags.length <= 5);
          listed.push(...page.tags);
          last = page.next;
        }
        assert.deepEqual(listed, sorted);
        const after = async (n: number, last: string) => (await client.tagPage(repository, { n, last })).tags;
        assert.deepEqual(await after(100, ''), sorted);
        assert.deepEqual(await after(100, 'm'), ['q', 'v1', 'v10']);
        assert.deepEqual(await after(2, 'bb'), ['c', 'm']);
        await assert.rejects(client.tagPage(freshName(), { n: 1, last: '' }), failed('unknown', /404/));
      });

      it('reads ranges', async () => {
        const client = clientOf(proxy());
        const { size, body } = await client.blob(name, large.digest, { start: 1000, end: 1999 });
        assert.equal(size, large.bytes.length);
        assert.deepEqual(await buffer(body), large.bytes.subarray(1000, 2000));
        const rest = await client.blob(name, large.digest, { start: 4_999_000, end: 9_000_000 });
        assert.deepEqual(await buffer(rest.body), large.bytes.subarray(4_999_000));
      });

      it('continues a blob where its connection was cut', async () => {
        const client = clientOf(proxy());
        await client.resolve(name, v1);
        proxy().reset();
        first(proxy(), isBlob, 'cut', 2);
        const { body } = await client.blob(name, large.digest);
        assert.deepEqual(await buffer(body), large.bytes);
        const ranges = proxy().requests.map(({ headers }) => headers.range);
        assert.equal(ranges.length, 3);
        assert.equal(ranges[0], undefined);
        assert.match(ranges[2] ?? '', /^bytes=\d{6,7}-4999999$/);
      });

      it('continues a blob that stalls', async () => {
        const client = clientOf(proxy(), { timeoutMs: 2000 });
        await client.resolve(name, v1);
        // Also of a repetition, where the first answer was late itself.
        proxy().fate = (seen) => (isBlob(seen) && seen.headers.range === undefined ? 'stall-body' : 'pass');
        const { body } = await client.blob(name, large.digest);
        assert.deepEqual(await buffer(body), large.bytes);
        assert.match(proxy().requests.at(-1)?.headers.range ?? '', /^bytes=\d{6,7}-4999999$/);
      });

      it('gives up a blob that is cut each time', async () => {
        const client = clientOf(proxy());
        proxy().fate = (seen) => (isBlob(seen) && seen.headers.authorization !== undefined ? 'cut' : 'pass');
        const { body } = await client.blob(name, image.blobs[0] ?? large.digest);
        await assert.rejects(buffer(body), failed('unavailable', /^blob sha256:\S+ of team.* was cut off/));
      });

      it('asks again after 500, a cut and a wrong byte of a manifest', async () => {
        const client = clientOf(proxy());
        for (const fate of [{ status: 500 }, 'drop', 'cut', 'corrupt'] as const) {
          proxy().reset();
          first(proxy(), isManifest, fate);
          assert.deepEqual((await client.manifest(name, image.digest)).bytes, image.bytes);
          assert.ok(proxy().requests.length >= 2);
        }
      });

      it('asks again what is not answered', async () => {
        const client = clientOf(proxy(), { timeoutMs: 1000 });
        first(proxy(), isManifest, 'stall');
        assert.deepEqual((await client.manifest(name, image.digest)).bytes, image.bytes);
      });

      it('never takes wrong bytes for a manifest', async () => {
        const client = clientOf(proxy());
        proxy().fate = (seen) => (isManifest(seen) ? 'corrupt' : 'pass');
        await assert.rejects(client.manifest(name, image.digest), UpstreamError);
      });

      it('tells what is not there from what it may not see', async () => {
        const client = clientOf(proxy());
        await assert.rejects(client.resolve(name, parseReference('v3')), failed('unknown', /answered 404/));
        await assert.rejects(
          client.manifest(name, digestOf(randomBytes(1))),
          failed('unknown', /MANIFEST_UNKNOWN/),
        );
        const wrong = { credentials: { user: 'alice', password: 'wrong' } };
        await assert.rejects(clientOf(proxy(), wrong).resolve(name, v1), failed('denied', /401/));
        const anonymous = clientOf(proxy(), { credentials: undefined });
        await assert.rejects(anonymous.resolve(name, v1), failed('denied', /401|none are known/));
      });
    });
});
