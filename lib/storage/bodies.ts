import { addAbortSignal, PassThrough, pipeline, type Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
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
 * Reads a small object whole. What has not begun to answer is tried again by the client, a body that breaks off is
 * here.
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

/** Some servers answer a range of an empty object with all of it. @throws RangeNotSatisfiable */
export function assertInRange(object: OpenObject, range: ByteRange | undefined): OpenObject {
  if (range === undefined || range.start < object.size) return object;
  object.body.destroy();
  throw new RangeNotSatisfiable(object.key, object.size);
}

/** Unlike Node's own stream of a response, one that lets go of the connection when a loop over it is left early. */
export function ownStream(body: Readable): Readable {
  const own = new PassThrough({ highWaterMark: 256 * 1024 });
  // Its failure is the other's.
  pipeline(body, own, () => undefined);
  return own;
}
