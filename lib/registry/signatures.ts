import { digestParts, type Digest } from '../protocol/digests.ts';
import { RegistryError } from '../protocol/errors.ts';
import type { RepositoryName } from '../protocol/names.ts';
import { withSignatures } from '../protocol/signed-manifests.ts';
import { ObjectTooLarge, type ObjectStore } from '../storage/store.ts';
import { digestOf } from './content-hash.ts';
import { blobData, signaturesPrefix } from './layout.ts';
import { orUndefined, readLink } from './links.ts';

/** Bytes of a signature; one with a chain of certificates has some thousand. */
const maxSignature = 256 * 1024;

/** Signatures of a manifest. Docker made one. */
const maxSignatures = 16;

/**
 * A schema 1 manifest with its signatures, of which distribution 2.3 kept each as a blob beside the manifest's link.
 * @param payload the manifest as it is stored
 * @returns undefined where it has none, or none that go with it
 */
export async function readSigned(
  store: ObjectStore,
  name: RepositoryName,
  digest: Digest,
  payload: Buffer,
): Promise<Buffer | undefined> {
  const { objects } = await store.list({ prefix: signaturesPrefix(name, digest), limit: maxSignatures });
  const signatures = await Promise.all(objects.map(async ({ key }) => await readSignature(store, key)));
  return withSignatures(
    payload,
    signatures.filter((signature) => signature !== undefined),
  );
}

/** @returns undefined where it is gone or damaged: the others are as good without it */
async function readSignature(store: ObjectStore, key: string): Promise<Buffer | undefined> {
  try {
    const link = await readLink(store, key);
    const blob = link && (await orUndefined(store.read(blobData(link.digest), maxSignature)));
    const algorithm = link && digestParts(link.digest).algorithm;
    return blob !== undefined && digestOf(blob.bytes, algorithm) === link?.digest ? blob.bytes : undefined;
  } catch (error) {
    const isDamaged = error instanceof RegistryError && error.failure === 'UNKNOWN';
    if (isDamaged || error instanceof ObjectTooLarge) return undefined;
    throw error;
  }
}
