import { digestParts, type Digest } from '../../protocol/digests.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import { withSignatures } from '../../protocol/schema1.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { digestOf } from '../uploads/content-hash.ts';
import { blobData, signaturesPrefix } from '../layout.ts';
import { undefinedIfDamaged, readLink } from '../links.ts';

/** Bytes of a signature. One with a certificate chain has some thousand; each of its tokens is indented again. */
const maxSignatureBytes = 32 * 1024;

/** Signatures of a manifest. Docker creates one. */
const maxSignatures = 16;

/**
 * Adds its signatures to a schema 1 manifest. Distribution 2.3 stored each as a blob beside the manifest's link.
 * @param payload the manifest as stored
 * @returns undefined if it has no signatures, or none that fit
 */
export async function readSigned(
  store: ObjectStore,
  name: RepositoryName,
  digest: Digest,
  payload: Buffer,
): Promise<Buffer | undefined> {
  const { objects } = await store.list({
    prefix: signaturesPrefix(name, digest),
    limit: maxSignatures,
    skipUnreadable: true,
  });
  const signatures = await Promise.all(objects.map(async ({ key }) => await readSignature(store, key)));
  return withSignatures(
    payload,
    signatures.filter((signature) => signature !== undefined),
  );
}

/** @returns undefined if it is missing or damaged: the others are valid without it */
async function readSignature(store: ObjectStore, key: string): Promise<Buffer | undefined> {
  const link = await undefinedIfDamaged(store, key, readLink(store, key));
  if (link === undefined) return undefined;
  const data = blobData(link.digest);
  const blob = await undefinedIfDamaged(store, data, store.read(data, maxSignatureBytes));
  const isWhole = blob && digestOf(blob.bytes, digestParts(link.digest).algorithm) === link.digest;
  return isWhole === true ? blob.bytes : undefined;
}
