import { mapConcurrently } from '../../concurrency/map-concurrently.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { parseUploadKey, uploadsPrefix } from '../../registry/layout.ts';
import { listObjects } from '../../registry/list-objects.ts';
import { undefinedIfMissing } from '../../registry/links.ts';
import { maxTailBytes } from '../../registry/uploads/part-sizes.ts';
import { DamagedSession, decodeSession, maxDescriptionBytes } from '../../registry/uploads/session-object.ts';
import { ObjectTooLarge, type ObjectStore } from '../../storage/store.ts';
import { damagedUpload, type Finding } from './findings.ts';
import { lookAt, type Inspection } from './inspection.ts';

/** Sessions that are read at the same time: most have some hundred bytes, some several megabytes. */
const parallelSessions = 4;

/** The upload sessions that cannot be read. Those of a later release are left out. */
export async function* damagedUploads({ store, counts }: Inspection): AsyncGenerator<Finding, void> {
  const objects = listObjects(store, uploadsPrefix, { skipUnreadable: true });
  const check = async ({ key }: { readonly key: string }) => {
    const upload = parseUploadKey(key);
    if (upload?.kind !== 'session') return undefined;
    counts.uploads += 1;
    return await lookAt(key, async () => await damagedSession(store, key, upload.id));
  };
  for await (const finding of mapConcurrently(objects, parallelSessions, check))
    if (finding !== undefined) yield finding;
}

/** Sessions are written whole, so what cannot be read is not on its way. */
async function damagedSession(store: ObjectStore, key: string, id: string): Promise<Finding | undefined> {
  const limit = maxDescriptionBytes + Math.max(maxTailBytes, store.limits.partSize);
  try {
    const session = await undefinedIfMissing(store.read(key, limit));
    if (session !== undefined) decodeSession(id, session.bytes, session.etag);
    return undefined;
  } catch (error) {
    if (error instanceof DamagedSession || error instanceof ObjectTooLarge) {
      const now = await undefinedIfMissing(store.head(key));
      return now && damagedUpload(id, now.etag);
    }
    if (error instanceof RegistryError) return undefined;
    throw error;
  }
}
