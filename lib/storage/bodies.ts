import { addAbortSignal, type Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { share } from '../concurrency/share.ts';
import { ConcurrencyLimit } from '../concurrency/concurrency-limit.ts';
import { ReconnectingBody } from './reconnecting-body.ts';
import {
  ObjectTooLarge,
  RangeNotSatisfiable,
  StoreUnavailable,
  type ByteRange,
  type ObjectHead,
} from './store.ts';

/** Timeout for the body of a small object, and how often it is read before the read fails. */
const smallBodyTimeoutMs = 10_000;
const readAttempts = 3;

/** Concurrent large downloads from a bucket. Leaves connections of the pool to other requests. */
const maxBodies = 192;

export type OpenObject = ObjectHead & { readonly body: Readable };

/** An object, or a range of it, as a server returned it. */
export interface FetchedObject extends OpenObject {
  /** Offset of the first byte of the body. */
  readonly start: number;
}

/** Limits how many large bodies hold a connection to a bucket. @param workers that share the limit */
export function bodyLimit(workers: number): ConcurrencyLimit {
  const busy = () => new StoreUnavailable('', 'too many concurrent downloads from the bucket');
  return new ConcurrencyLimit(share(maxBodies, workers), { queueLimit: 2_000, timeoutMs: 20_000, busy });
}

/** Requests an object or a range of it. */
type Fetch = (range?: ByteRange) => Promise<FetchedObject>;

/**
 * Reads a small object into memory. The client retries requests without a response; this retries bodies that stall or
 * are cut off.
 * @throws ObjectTooLarge
 */
export async function readWhole(
  fetchObject: Fetch,
  limit: number,
): Promise<ObjectHead & { readonly bytes: Buffer }> {
  for (let attempt = 1; ; attempt++) {
    const { body, ...head } = await openReconnecting(fetchObject);
    if (head.size > limit) {
      body.destroy();
      throw new ObjectTooLarge(head.key, head.size, limit);
    }
    try {
      return { ...head, bytes: await buffer(addAbortSignal(AbortSignal.timeout(smallBodyTimeoutMs), body)) };
    } catch (error) {
      if (attempt === readAttempts)
        throw new StoreUnavailable(head.key, `the body of ${head.key} was cut off`, { cause: error });
    }
  }
}

/**
 * Opens an object whose body reconnects if its connection fails.
 * @param limit bounds the connections of large bodies; omit it for small objects
 * @throws RangeNotSatisfiable; StoreUnavailable if the server ignores ranges
 */
export async function openReconnecting(
  fetchObject: Fetch,
  range?: ByteRange,
  limit?: ConcurrencyLimit,
): Promise<OpenObject> {
  const fetchRange = async (part: ByteRange | undefined) =>
    assertInRange(await withConnection(limit, async () => await fetchObject(part)), part);
  const { start, ...object } = await fetchRange(range);
  const { key, size, etag } = object;
  const length = Math.min(range?.end ?? Infinity, size - 1) + 1 - start;
  const reopen = async (received: number) => {
    const rest = await fetchRange({ ...range, start: start + received });
    if (rest.etag === etag && rest.size === size) return rest.body;
    rest.body.destroy();
    throw new StoreUnavailable(key, `${key} was replaced while it was read`);
  };
  const isContended = () => limit?.isContended === true;
  return { ...object, body: new ReconnectingBody(object.body, { key, length, reopen, isContended }) };
}

/** Holds a connection until the body closes. */
async function withConnection(
  limit: ConcurrencyLimit | undefined,
  fetchObject: Fetch,
): Promise<FetchedObject> {
  await limit?.acquire();
  try {
    const object = await fetchObject();
    object.body.once('close', () => limit?.release());
    return object;
  } catch (error) {
    limit?.release();
    throw error;
  }
}

/** Some servers return all of an empty object whatever the range. */
function assertInRange(object: FetchedObject, range: ByteRange | undefined): FetchedObject {
  if (range === undefined) return object;
  const isBeyond = range.start >= object.size;
  if (!isBeyond && object.start === range.start) return object;
  object.body.destroy();
  throw isBeyond
    ? new RangeNotSatisfiable(object.key, object.size)
    : new StoreUnavailable(object.key, 'the bucket ignores ranges');
}

/** The offset of a body's first byte, from its `Content-Range`. */
export function contentStart(contentRange: string | undefined): number {
  return Number(/^bytes (\d+)-/.exec(contentRange ?? '')?.[1] ?? 0);
}
