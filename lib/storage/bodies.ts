import { addAbortSignal, type Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { BodyLimit } from './body-limit.ts';
import { ReconnectingBody } from './reconnecting-body.ts';
import {
  ObjectTooLarge,
  RangeNotSatisfiable,
  StoreUnavailable,
  type ByteRange,
  type ObjectHead,
} from './store.ts';

/** Milliseconds and attempts for the body of a small object. */
const smallBodyWithin = 10_000;
const readAttempts = 3;

export type OpenObject = ObjectHead & { readonly body: Readable };

/**
 * Reads a small object whole. What has not begun to answer is tried again by the client, what falls silent or breaks off
 * for good is here.
 * @throws ObjectTooLarge
 */
export async function readWhole(
  open: () => Promise<OpenObject>,
  limit: number,
): Promise<ObjectHead & { readonly bytes: Buffer }> {
  for (let attempt = 1; ; attempt++) {
    const { body, ...head } = await open();
    if (head.size > limit) {
      body.destroy();
      throw new ObjectTooLarge(head.key, head.size, limit);
    }
    try {
      return { ...head, bytes: await buffer(addAbortSignal(AbortSignal.timeout(smallBodyWithin), body)) };
    } catch (error) {
      if (attempt === readAttempts)
        throw new StoreUnavailable(head.key, `${head.key} broke off`, { cause: error });
    }
  }
}

/** An object, or a part of it, as a server has sent it. */
export interface FetchedObject extends OpenObject {
  /** The first byte of it, as the answer says. */
  readonly start: number;
}

/**
 * Opens an object whose body goes on when its connection breaks off.
 * @param get sends a request for it
 * @param limit to the connections of such bodies; none for a small one
 * @throws RangeNotSatisfiable, StoreUnavailable when the server does not heed ranges
 */
export async function openReconnecting(
  get: (range?: ByteRange) => Promise<FetchedObject>,
  range: ByteRange | undefined,
  limit?: BodyLimit,
): Promise<OpenObject> {
  const limited = async (part: ByteRange | undefined) =>
    await withConnection(limit, async () => await get(part));
  const { start, ...object } = assertInRange(await limited(range), range);
  const { key, size, etag } = object;
  const length = Math.min(range?.end ?? Infinity, size - 1) + 1 - start;
  const reopen = async (passed: number) => {
    const rest = { start: start + passed, ...(range?.end !== undefined && { end: range.end }) };
    const again = assertInRange(await limited(rest), rest);
    if (again.etag === etag && again.size === size) return again.body;
    again.body.destroy();
    throw new StoreUnavailable(key, `${key} was replaced while it was read`);
  };
  return {
    ...object,
    body: new ReconnectingBody(object.body, {
      key,
      length,
      reopen,
      isContended: () => limit?.isContended === true,
    }),
  };
}

/** The connection is the body's until that is closed. */
async function withConnection(
  limit: BodyLimit | undefined,
  get: () => Promise<FetchedObject>,
): Promise<FetchedObject> {
  const release = await limit?.acquire();
  try {
    const object = await get();
    if (release !== undefined) object.body.once('close', release);
    return object;
  } catch (error) {
    release?.();
    throw error;
  }
}

/** Some servers answer a range of an empty object with all of it. */
function assertInRange(object: FetchedObject, range: ByteRange | undefined): FetchedObject {
  if (range === undefined) return object;
  const isBeyond = range.start >= object.size;
  if (!isBeyond && object.start === range.start) return object;
  object.body.destroy();
  throw isBeyond
    ? new RangeNotSatisfiable(object.key, object.size)
    : new StoreUnavailable(object.key, 'the bucket does not heed ranges');
}

/** The first byte of a body, by its `Content-Range`. */
export function contentStart(contentRange: string | undefined): number {
  return Number(/^bytes (\d+)-/.exec(contentRange ?? '')?.[1] ?? 0);
}
