import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { blobData, revisionLink, signaturesPrefix } from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { digestOf } from '../functions/client.ts';
import { MemoryStore } from './memory-store.ts';

const { vectors } = JSON.parse(
  await readFile(join(import.meta.dirname, '../fixtures/libtrust-signed-manifests.json'), 'utf8'),
) as { vectors: readonly { name: string; payload: string; signatures: string[]; pretty: string }[] };

const name = parseRepositoryName('legacy/app');

/** A schema 1 manifest as distribution 2.3 stored it: its payload, and each signature as a blob of its own. */
async function laid(
  payload: string,
  signatures: readonly string[],
): Promise<{ store: MemoryStore; digest: string }> {
  const store = new MemoryStore();
  const digest = parseDigest(digestOf(Buffer.from(payload)));
  await store.put(blobData(digest), Buffer.from(payload));
  await store.put(revisionLink(name, digest), Buffer.from(digest));
  for (const signature of signatures) {
    const blob = parseDigest(digestOf(Buffer.from(signature)));
    await store.put(blobData(blob), Buffer.from(signature));
    await store.put(`${signaturesPrefix(name, digest)}${blob.replace(':', '/')}/link`, Buffer.from(blob));
  }
  return { store, digest };
}

async function served(store: MemoryStore, digest: string): Promise<{ type: string; text: string }> {
  const { manifests } = createRegistry(store);
  const { info, bytes } = await manifests.get(name, parseReference(digest));
  assert.equal(info.size, bytes.byteLength);
  assert.equal(info.digest, digest);
  return { type: info.mediaType, text: bytes.toString() };
}

const signedType = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
const unsignedType = 'application/vnd.docker.distribution.manifest.v1+json';
const schema1 = vectors.filter(({ payload }) => payload.includes('"schemaVersion"'));
const [one] = schema1.filter(({ signatures }) => signatures.length === 1);
const [several] = schema1.filter(({ signatures }) => signatures.length > 1);

describe('a schema 1 manifest with its signatures beside it', () => {
  it('a schema 1 manifest is served with its signatures as libtrust assembles them', async () => {
    assert.ok(one !== undefined && several !== undefined);
    for (const { payload, signatures, pretty } of [one, several]) {
      const { store, digest } = await laid(payload, signatures);
      assert.deepEqual(await served(store, digest), { type: signedType, text: pretty });
    }
  });

  it('a schema 1 manifest is served without damaged or missing signatures', async () => {
    assert.ok(one !== undefined);
    const { payload, signatures, pretty } = one;
    for (const harm of [
      async (store: MemoryStore, link: string) => await store.put(link, Buffer.from('garbage')),
      async (store: MemoryStore, _: string, blob: string) =>
        await store.put(blob, Buffer.from(`${signatures[0]} `)),
      async (store: MemoryStore, _: string, blob: string) => await store.put(blob, Buffer.alloc(300 * 1024)),
      async (store: MemoryStore, _: string, blob: string) => {
        await store.delete([blob]);
      },
    ]) {
      const { store, digest } = await laid(payload, signatures);
      const [link = ''] = [...store.objects.keys()].filter((key) => key.includes('/signatures/'));
      const blob = blobData(parseDigest(digestOf(Buffer.from(signatures[0] ?? ''))));
      assert.equal((await served(store, digest)).text, pretty);
      await harm(store, link, blob);
      assert.deepEqual(await served(store, digest), { type: unsignedType, text: payload });
    }
  });

  it('a schema 1 manifest with signatures can be deleted', async () => {
    assert.ok(one !== undefined);
    const { store, digest } = await laid(one.payload, one.signatures);
    await createRegistry(store).manifests.delete(name, parseReference(digest));
    await assert.rejects(served(store, digest), { failure: 'MANIFEST_UNKNOWN' });
  });
});
