import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { tagsPrefix } from '../../lib/registry/layout.ts';
import {
  assertFolderExists,
  assertUnknown,
  byDigest,
  digestOf,
  fresh,
  image,
  imageOf,
  keysBelow,
  push,
  pushBlob,
  registry,
  tagged,
  tagsOf,
  unknown,
} from './manifest-steps.ts';

describe('deleting', () => {
  it('deleting a tag leaves its manifest and all other tags', async () => {
    const name = fresh();
    const bytes = await image(name);
    const tags = ['v1', 'v1-rc', 'v1.0', 'v10', 'v1_x', 'V1'];
    await push(name, bytes, ...tags);
    await registry().manifests.delete(name, tagged('v1'));
    await assertUnknown(name, tagged('v1'));
    await assertFolderExists(name, byDigest(digestOf(bytes)), bytes);
    for (const tag of tags.slice(1)) await assertFolderExists(name, tagged(tag), bytes);
    assert.deepEqual(await tagsOf(name), tags.slice(1).sort());
    assert.deepEqual(await keysBelow(`${tagsPrefix(name)}v1/`), []);
  });

  it('deleting a manifest deletes every tag that points at it', async () => {
    const name = fresh();
    const [doomed, kept] = [await image(name), await image(name)];
    await push(name, doomed, 'a', 'b', 'moved', 'b.1');
    await push(name, kept, 'moved', 'kept');
    // Back and forth: it points at the doomed one again.
    await push(name, kept, 'back');
    await push(name, doomed, 'back');
    await registry().manifests.delete(name, byDigest(digestOf(doomed)));
    for (const tag of ['a', 'b', 'b.1', 'back']) await assertUnknown(name, tagged(tag));
    await assertUnknown(name, byDigest(digestOf(doomed)));
    for (const tag of ['moved', 'kept']) await assertFolderExists(name, tagged(tag), kept);
    assert.deepEqual(await tagsOf(name), ['kept', 'moved']);
  });

  it('deleting a manifest leaves it in other repositories', async () => {
    const [name, other] = [fresh(), fresh()];
    const blob = randomBytes(20);
    const bytes = imageOf(await pushBlob(name, blob), [await pushBlob(other, blob)]);
    for (const each of [name, other]) await push(each, bytes, 'v1');
    await registry().manifests.delete(name, byDigest(digestOf(bytes)));
    await assertUnknown(name, tagged('v1'));
    await assertFolderExists(other, tagged('v1'), bytes);
    await assertFolderExists(other, byDigest(digestOf(bytes)), bytes);
  });

  it('deleting an unknown manifest is MANIFEST_UNKNOWN, also if repeated', async () => {
    const name = fresh();
    const bytes = await image(name);
    await assert.rejects(registry().manifests.delete(name, tagged('v1')), unknown);
    await assert.rejects(registry().manifests.delete(name, byDigest(digestOf(bytes))), unknown);
    await push(name, bytes, 'v1', 'v2');
    await registry().manifests.delete(name, tagged('v1'));
    await assert.rejects(registry().manifests.delete(name, tagged('v1')), unknown);
    await registry().manifests.delete(name, byDigest(digestOf(bytes)));
    await assert.rejects(registry().manifests.delete(name, byDigest(digestOf(bytes))), unknown);
  });

  it('deleting a blob removes the link of the repository and never the shared bytes', async () => {
    const [name, other] = [fresh(), fresh()];
    const bytes = randomBytes(20);
    const digest = await pushBlob(name, bytes);
    await pushBlob(other, bytes);
    await registry().blobs.delete(name, digest);
    await assert.rejects(registry().blobs.stat(name, digest), { failure: 'BLOB_UNKNOWN' });
    await assert.rejects(registry().blobs.delete(name, digest), { failure: 'BLOB_UNKNOWN' });
    assert.deepEqual(await registry().blobs.stat(other, digest), { digest, size: 20 });
    assert.equal(await registry().blobs.mount(name, digest, fresh()), undefined);
    assert.deepEqual(await registry().blobs.mount(name, digest, other), { digest, size: 20, from: other });
    assert.deepEqual(await registry().blobs.stat(name, digest), { digest, size: 20 });
  });
});
