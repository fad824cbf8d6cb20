import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { parseDigest, type Digest } from '../../lib/protocol/digests.ts';
import { RegistryError } from '../../lib/protocol/errors.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { isRequired, type RequiredPlatforms } from '../../lib/registry/manifests/required-platforms.ts';
import { digestOf, indexType, manifest } from '../functions/client.ts';
import { MemoryStore } from './memory-store.ts';

const amd64 = { os: 'linux', architecture: 'amd64' };
const arm64 = { os: 'linux', architecture: 'arm64' };
const windows = { os: 'windows', architecture: 'amd64' };

const [unknownBlob] = new RegistryError('MANIFEST_BLOB_UNKNOWN').errors;

describe('isRequired', () => {
  const asked = (platform: unknown, required: RequiredPlatforms): boolean =>
    isRequired({ platform: platform as typeof amd64 | undefined }, required);

  it('isRequired gives the same result for every manifest without a list', () => {
    for (const platform of [amd64, windows, { os: undefined, architecture: undefined }, undefined]) {
      assert.equal(asked(platform, 'all'), true);
      assert.equal(asked(platform, 'none'), false);
    }
  });

  it('isRequired compares the system and the architecture with a list', () => {
    for (const [platform, required] of [
      [amd64, true],
      [{ ...amd64, variant: 'v2' }, true],
      [arm64, false],
      [windows, false],
      [{ os: 'linux', architecture: undefined }, false],
      [{ os: 'Linux', architecture: 'amd64' }, false],
      [{ os: ['linux'], architecture: ['amd64'] }, false],
    ] as const)
      assert.equal(asked(platform, [amd64]), required, JSON.stringify(platform));
    assert.equal(asked(arm64, [amd64, arm64]), true);
    // Not the system of one and the architecture of another.
    assert.equal(asked({ os: 'windows', architecture: 'arm64' }, [windows, arm64]), false);
  });

  it('isRequired requires a manifest without a platform, with any list', () => {
    for (const list of [[], [amd64]]) assert.equal(asked(undefined, list), true);
  });
});

describe('an index that is pushed', () => {
  const name = parseRepositoryName('team/app');
  let store: MemoryStore;

  beforeEach(() => {
    store = new MemoryStore();
  });

  let children = 0;
  const childBytes = (): Buffer =>
    manifest({ manifests: [], annotations: { child: `${(children += 1)}` } }, indexType);

  /** A child that the repository has. */
  async function here(repository = name): Promise<Digest> {
    const bytes = childBytes();
    const reference = parseReference(digestOf(bytes));
    await createRegistry(store).manifests.put(repository, reference, bytes, undefined);
    return parseDigest(digestOf(bytes));
  }

  const missing = (): Digest => parseDigest(digestOf(childBytes()));

  const indexOf = (...entries: readonly (readonly [Digest, unknown?, string?])[]): Buffer =>
    manifest(
      {
        manifests: entries.map(([digest, platform, mediaType = indexType]) => ({
          ...{ mediaType, digest, size: 2 },
          platform,
        })),
      },
      indexType,
    );

  const put = async (bytes: Buffer, requiredPlatforms?: RequiredPlatforms) =>
    await createRegistry(store, requiredPlatforms === undefined ? {} : { requiredPlatforms }).manifests.put(
      name,
      parseReference('multi'),
      bytes,
      indexType,
    );

  async function assertTaken(bytes: Buffer, required: RequiredPlatforms): Promise<void> {
    await put(bytes, required);
    const found = await createRegistry(store).manifests.get(name, parseReference('multi'));
    assert.ok(found.bytes.equals(bytes));
  }

  /** With just these digests listed. */
  async function assertRefused(
    bytes: Buffer,
    required: RequiredPlatforms | undefined,
    ...digests: readonly Digest[]
  ): Promise<void> {
    await assert.rejects(put(bytes, required), {
      failure: 'MANIFEST_BLOB_UNKNOWN',
      errors: digests.map((digest) => ({ ...unknownBlob, detail: { digest } })),
    });
    await assert.rejects(createRegistry(store).manifests.get(name, parseReference('multi')), {
      failure: 'MANIFEST_UNKNOWN',
    });
  }

  it('an index without a child is refused by default', async () => {
    const gone = missing();
    const bytes = indexOf([await here(), amd64], [gone, arm64]);
    await assertRefused(bytes, undefined, gone);
    await assertRefused(bytes, 'all', gone);
  });

  it('an index without its children is accepted if none is required', async () => {
    const gone = missing();
    await assertTaken(indexOf([gone, amd64], [missing()]), 'none');
    await assert.rejects(createRegistry(store).manifests.get(name, parseReference(gone)), {
      failure: 'MANIFEST_UNKNOWN',
    });
  });

  it('an index is accepted with a list only if the child of each platform exists', async () => {
    const [there, gone] = [await here(), missing()];
    const bytes = indexOf([there, amd64], [gone, arm64], [missing(), windows]);
    await assertRefused(bytes, [arm64], gone);
    await assertRefused(bytes, [amd64, arm64], gone);
    await assertTaken(bytes, [amd64]);
  });

  it('an index needs no child for a platform of the list', async () => {
    await assertTaken(indexOf([missing(), windows]), [amd64, arm64]);
  });

  it('an index must have children without a platform, also with a list', async () => {
    const [there, gone] = [await here(), missing()];
    for (const platform of [undefined, null])
      await assertRefused(indexOf([there, platform], [gone, platform]), [amd64], gone);
    await assertTaken(indexOf([there], [missing(), arm64]), [amd64]);
  });

  it('a missing child that an index names twice is reported once', async () => {
    const gone = missing();
    await assertRefused(indexOf([gone, arm64], [gone, amd64]), [amd64], gone);
    await assertRefused(indexOf([gone, arm64], [gone, amd64]), 'all', gone);
  });

  it('a child in another repository does not count for an index', async () => {
    const elsewhere = await here(parseRepositoryName('team/other'));
    await assertRefused(indexOf([elsewhere, amd64]), [amd64], elsewhere);
  });

  it('blobs in an index follow the same rule of platforms', async () => {
    const [gone, type] = [missing(), 'application/vnd.buildkit.cacheconfig.v0'];
    for (const required of ['all', [amd64]] as const) {
      await assertRefused(indexOf([gone, undefined, type]), required, gone);
      await assertRefused(indexOf([gone, amd64, type]), required, gone);
    }
    await assertTaken(indexOf([gone, arm64, type]), [amd64]);
    await assertTaken(indexOf([gone, undefined, type]), 'none');
  });

  it('required platforms concern children of an index only, never blobs of an image', async () => {
    const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: missing(), size: 2 };
    const bytes = manifest({ config, layers: [] });
    for (const requiredPlatforms of ['none', [amd64]] as const)
      await assert.rejects(
        createRegistry(store, { requiredPlatforms }).manifests.put(
          name,
          parseReference('v1'),
          bytes,
          undefined,
        ),
        { failure: 'MANIFEST_BLOB_UNKNOWN' },
      );
  });
});
