import { ObjectTooLarge, PreconditionFailed, type ObjectStore } from '../../storage/store.ts';
import { fieldsOf } from '../json-fields.ts';
import { quotaUsed } from '../layout.ts';
import { undefinedIfMissing } from '../links.ts';

/** What the repositories of a quota used when they were looked at. */
export interface Sum {
  readonly bytes: number;
  /** When it was written, by the clock that dates objects. */
  readonly ended: Date;
}

/** Bytes of its object. */
const maxSize = 1000;

/** @returns undefined if there is none, or it is damaged: the next one replaces it */
export async function readSum(store: ObjectStore, quota: string): Promise<Sum | undefined> {
  return (await readSumObject(store, quota))?.sum;
}

/**
 * Writes what a look has found, unless another look has ended since this one began: neither has seen all that the other saw, so what
 * was pushed meanwhile must go on to count.
 * @returns whether it is written
 */
export async function writeSum(store: ObjectStore, quota: string, began: Date, sum: Sum): Promise<boolean> {
  const last = await readSumObject(store, quota);
  if (last?.sum !== undefined && last.sum.ended >= began) return false;
  const bytes = Buffer.from(
    `${JSON.stringify({ version: 1, bytes: sum.bytes, ended: sum.ended.toISOString() })}\n`,
  );
  const condition =
    last === undefined ? { onlyIfAbsent: true } : last.etag === undefined ? {} : { ifMatch: last.etag };
  try {
    await store.put(quotaUsed(quota), bytes, condition);
    return true;
  } catch (error) {
    if (error instanceof PreconditionFailed) return false;
    throw error;
  }
}

async function readSumObject(
  store: ObjectStore,
  quota: string,
): Promise<{ readonly etag: string | undefined; readonly sum: Sum | undefined } | undefined> {
  try {
    const object = await undefinedIfMissing(store.read(quotaUsed(quota), maxSize));
    return object && { etag: object.etag, sum: parse(object.bytes) };
  } catch (error) {
    if (error instanceof ObjectTooLarge) return { etag: undefined, sum: undefined };
    throw error;
  }
}

function parse(text: Buffer): Sum | undefined {
  const fields = fieldsOf(text) ?? {};
  const { version, bytes } = fields;
  const ended = new Date(String(fields['ended']));
  const isSum = version === 1 && typeof bytes === 'number' && bytes >= 0 && !Number.isNaN(ended.getTime());
  return isSum ? { bytes, ended } : undefined;
}
