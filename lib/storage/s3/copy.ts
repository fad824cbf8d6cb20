import { CopyObjectCommand, UploadPartCopyCommand } from '@aws-sdk/client-s3';
import { buffer } from 'node:stream/consumers';
import { copyTimeoutMs, type CopyOptions, type S3Bucket } from './bucket.ts';
import { failureOf } from './errors.ts';
import { unquote } from './listing.ts';
import { abortMultipart, completeMultipart, createMultipart, uploadPart } from './multipart.ts';
import {
  PreconditionFailed,
  StoreUnavailable,
  type ByteRange,
  type ConcatenateOptions,
  type MoveSource,
  type ObjectReader,
  type Piece,
  type UploadedPart,
} from '../store.ts';

/** One call copies about 100 MB a second, so that large objects are done sooner in parts. */
export const defaultCopy: CopyOptions = { threshold: 1024 ** 3, partSize: 256 * 1024 ** 2, parallel: 16 };

/** Most parts a multipart upload may have. */
const maxParts = 10_000;

/** Bytes of a part that goes through this process, and how many do at once. */
const readPartSize = 8 * 1024 ** 2;
const readsAtOnce = 2;

interface Copy {
  readonly from: string;
  readonly to: string;
  readonly source: MoveSource;
}

/**
 * Copies an object with its metadata, on the server where that can.
 * @param copy `source` is what lies at `from`: another object that has taken its place is not copied
 * @throws ObjectNotFound, PreconditionFailed about `from`
 */
export async function copyObject(bucket: S3Bucket, reader: ObjectReader, copy: Copy): Promise<void> {
  const { threshold } = bucket.options.copy ?? defaultCopy;
  const atOnce = copy.source.size <= threshold && bucket.supportsConditionalCopies;
  if (atOnce && (await guarded(bucket, reader, copy, async () => await copyAtOnce(bucket, copy)))) return;
  await copyInParts(bucket, reader, copy);
}

async function copyAtOnce(bucket: S3Bucket, copy: Copy): Promise<true> {
  const input = {
    Bucket: bucket.name,
    Key: bucket.fullKey(copy.to),
    ...source(bucket, copy.from, copy.source.etag),
    ...bucket.writeInput,
  };
  await bucket.send(
    copy.from,
    async (options) => await bucket.client.send(new CopyObjectCommand(input), options),
    copyTimeoutMs,
  );
  return true;
}

/** @param etag that it must have, if that is to be looked at */
function source(bucket: S3Bucket, from: string, etag?: string) {
  const path = `${bucket.name}/${bucket.fullKey(from)}`.split('/').map(encodeURIComponent).join('/');
  return { CopySource: path, ...(etag !== undefined && { CopySourceIfMatch: `"${etag}"` }) };
}

/**
 * Makes a copy that is guarded by the source's ETag. Swift does not know that of an object of several parts when it is to
 * copy it, although it tells it: then it is the guard that has failed, and is not tried again in this bucket.
 * @returns undefined if so
 */
async function guarded<T>(
  bucket: S3Bucket,
  reader: ObjectReader,
  { from, source: { etag } }: Copy,
  copy: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await copy();
  } catch (error) {
    if (!(error instanceof PreconditionFailed) || (await reader.head(from)).etag !== etag) throw error;
    bucket.supportsConditionalCopies = false;
    return undefined;
  }
}

async function copyInParts(bucket: S3Bucket, reader: ObjectReader, copy: Copy): Promise<void> {
  const { from, to, source } = copy;
  const { metadata, etag } = await reader.head(from);
  if (etag !== source.etag) throw new PreconditionFailed(from);
  await inMultipart(bucket, to, metadata, async (uploadId) => {
    return await copyParts(bucket, reader, { ...copy, uploadId });
  });
}

/**
 * Makes an object of others on the server: see `concatenate` of ObjectStore. Nobody writes to their keys again, so what is
 * copied needs no guard.
 */
export async function concatenateObjects(
  bucket: S3Bucket,
  to: string,
  pieces: readonly Piece[],
  { metadata = {}, tail }: ConcatenateOptions,
): Promise<boolean> {
  const ranges = pieces.flatMap(({ key, sizes }) => rangesOfSizes(sizes).map((range) => ({ key, range })));
  const { parallel } = bucket.options.copy ?? defaultCopy;
  return await inMultipart(bucket, to, metadata, async (uploadId) => {
    const copied = await inParallel(ranges, parallel, async ({ key, range }, i) => {
      const copy = { from: key, to, uploadId };
      return await copyOnServer(bucket, copy, i + 1, range);
    });
    if (copied === undefined || tail.byteLength === 0) return copied;
    return [...copied, await uploadPart(bucket, to, uploadId, ranges.length + 1, tail)];
  });
}

/** Makes an object of the parts that are written for it. @returns false, with nothing done, where there are none */
async function inMultipart(
  bucket: S3Bucket,
  key: string,
  metadata: Readonly<Record<string, string>>,
  write: (uploadId: string) => Promise<readonly UploadedPart[] | undefined>,
): Promise<boolean> {
  const uploadId = await createMultipart(bucket, key, { metadata });
  const abort = async () => {
    await abortMultipart(bucket, key, uploadId);
  };
  try {
    const parts = await write(uploadId);
    if (parts === undefined) await abort();
    else await completeMultipart(bucket, key, uploadId, parts);
    return parts !== undefined;
  } catch (error) {
    await abort().catch(() => undefined);
    throw error;
  }
}

interface PartsCopy extends Copy {
  readonly uploadId: string;
}

/** A range of the source that becomes a part. */
interface CopiedRange extends Required<ByteRange> {
  /** Of the part of the source that it is, if it is one. */
  readonly etag?: string;
}

/** A way to copy parts. @returns undefined if the server cannot go that way */
interface Way {
  readonly ranges: readonly CopiedRange[];
  readonly parallel: number;
  readonly copyPart: (number: number, range: CopiedRange) => Promise<UploadedPart | undefined>;
}

/**
 * Copies a source's bytes to parts, in the first way the server can go. They differ in how they make sure that the bytes
 * are those of the right object:
 * - the server compares the ETag of the whole;
 * - each part must get the ETag that it had in the source, which is the MD5 of its bytes unless they are encrypted with
 *   keys of KMS;
 * - the bytes are read and written by this process: a read tells what object it is of.
 */
async function copyParts(bucket: S3Bucket, reader: ObjectReader, copy: PartsCopy): Promise<UploadedPart[]> {
  const { size, parts } = copy.source;
  const { partSize, parallel } = bucket.options.copy ?? defaultCopy;
  const even = rangesOf(size, Math.max(partSize, Math.ceil(size / maxParts)));
  const ways: Way[] = [
    {
      ranges: even,
      parallel,
      copyPart: async (number, range) =>
        await guarded(
          bucket,
          reader,
          copy,
          async () => await copyOnServer(bucket, copy, number, range, copy.source.etag),
        ),
    },
    {
      ranges: parts === undefined ? [] : partRanges(parts),
      parallel,
      copyPart: async (number, range) => {
        const part = await copyOnServer(bucket, copy, number, range);
        return part?.etag === range.etag ? part : undefined;
      },
    },
    {
      ranges: rangesOf(size, Math.max(readPartSize, Math.ceil(size / maxParts))),
      parallel: readsAtOnce,
      copyPart: async (number, range) => await copyThrough(bucket, reader, copy, number, range),
    },
  ];
  const open = bucket.supportsConditionalCopies ? ways : ways.slice(1);
  for (const { ranges, parallel: limit, copyPart } of open) {
    const copied = await inParallel(ranges, limit, async (range, i) => await copyPart(i + 1, range));
    if (copied !== undefined && copied.length > 0) return copied;
  }
  throw new StoreUnavailable(copy.from, `the bucket has no way to copy ${copy.from}`);
}

/** @param etag as in {@link source} @returns undefined if the server cannot copy parts */
async function copyOnServer(
  bucket: S3Bucket,
  copy: Pick<PartsCopy, 'from' | 'to' | 'uploadId'>,
  number: number,
  { start, end }: CopiedRange,
  etag?: string,
): Promise<UploadedPart | undefined> {
  const input = {
    Bucket: bucket.name,
    Key: bucket.fullKey(copy.to),
    UploadId: copy.uploadId,
    PartNumber: number,
    CopySourceRange: `bytes=${start}-${end}`,
    ...source(bucket, copy.from, etag),
  };
  return await bucket.send(
    copy.from,
    async (options) => {
      try {
        const { CopyPartResult } = await bucket.client.send(new UploadPartCopyCommand(input), options);
        return { number, etag: unquote(CopyPartResult?.ETag), size: end - start + 1 };
      } catch (error) {
        if (failureOf(error).status === 501) return undefined;
        throw error;
      }
    },
    copyTimeoutMs,
  );
}

async function copyThrough(
  bucket: S3Bucket,
  reader: ObjectReader,
  { from, to, uploadId, source }: PartsCopy,
  number: number,
  range: CopiedRange,
): Promise<UploadedPart> {
  const { body, etag } = await reader.open(from, range);
  if (etag === source.etag) return await uploadPart(bucket, to, uploadId, number, await buffer(body));
  body.destroy();
  throw new PreconditionFailed(from);
}

/** The ranges of an object that its parts are. */
function partRanges(parts: readonly UploadedPart[]): CopiedRange[] {
  const ranges = rangesOfSizes(parts.map(({ size }) => size));
  return parts.flatMap(({ etag }, i) => ranges.slice(i, i + 1).map((range) => ({ ...range, etag })));
}

function rangesOfSizes(sizes: readonly number[]): Required<ByteRange>[] {
  let start = 0;
  return sizes.map((size) => {
    start += size;
    return { start: start - size, end: start - 1 };
  });
}

function rangesOf(size: number, partSize: number): Required<ByteRange>[] {
  return Array.from({ length: Math.ceil(size / partSize) }, (_, i) => ({
    start: i * partSize,
    end: Math.min(size, (i + 1) * partSize) - 1,
  }));
}

/**
 * Results in the order of the items, or undefined as soon as one of them is. A failure ends it, once what is under way
 * has ended.
 */
async function inParallel<T, R>(
  items: readonly T[],
  parallel: number,
  work: (item: T, index: number) => Promise<R | undefined>,
): Promise<R[] | undefined> {
  const results: R[] = [];
  const queue = items.entries();
  const state = { goOn: true };
  const worker = async (): Promise<void> => {
    for (let next = queue.next(); state.goOn && next.done !== true; next = queue.next()) {
      const [index, item] = next.value;
      try {
        const result = await work(item, index);
        if (result === undefined) state.goOn = false;
        else results[index] = result;
      } catch (error) {
        state.goOn = false;
        throw error;
      }
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: parallel }, worker));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  return state.goOn ? results : undefined;
}
