import { buffer } from 'node:stream/consumers';
import { copyTimeoutMs, type CopyOptions, type S3Bucket } from './bucket.ts';
import { escapeKey } from './client/uri.ts';
import { textOf } from './client/xml.ts';
import { failureOf } from './errors.ts';
import { unquote } from './listing.ts';
import {
  PreconditionFailed,
  s3Limits,
  StoreUnavailable,
  type ByteRange,
  type ConcatenateOptions,
  type MoveSource,
  type MultipartWriter,
  type ObjectReader,
  type Piece,
  type UploadedPart,
} from '../store.ts';

/** One call copies about 100 MB/s, so parallel parts are faster for large objects. */
const defaultCopy: CopyOptions = { threshold: 1024 ** 3, partSize: 256 * 1024 ** 2, parallel: 16 };

/** Bytes of a part that this process reads and writes, and how many of them run in parallel. */
const readPartSize = 8 * 1024 ** 2;
const parallelReads = 2;

/** What copies need of a store. */
type Store = ObjectReader & MultipartWriter;

interface Copy {
  readonly from: string;
  readonly to: string;
  readonly source: MoveSource;
}

/**
 * Copies an object with its metadata, on the server where possible.
 * @param copy `source` describes the object at `from`; another object that replaces it is not copied
 * @throws ObjectNotFound, PreconditionFailed about `from`
 */
export async function copyObject(bucket: S3Bucket, store: Store, copy: Copy): Promise<void> {
  const { from, to, source } = copy;
  const { threshold } = bucket.options.copy ?? defaultCopy;
  if (source.size <= threshold && bucket.supportsConditionalCopies) {
    const request = {
      ...bucket.object('CopyObject', 'PUT', to),
      headers: { ...bucket.newObjectHeaders(), ...copySource(bucket, from, source.etag) },
      timeoutMs: copyTimeoutMs,
    };
    const send = async () => await bucket.send(from, request);
    if ((await conditional(bucket, store, copy, send)) !== undefined) return;
  }
  const { metadata, etag } = await store.head(from, { metadata: true });
  if (etag !== source.etag) throw new PreconditionFailed(from);
  await withMultipart(store, to, metadata, async (uploadId) => {
    return await copyParts(bucket, store, { ...copy, uploadId });
  });
}

/** @param etag the condition for the copy, if any */
function copySource(bucket: S3Bucket, from: string, etag?: string): Record<string, string> {
  const path = escapeKey(`${bucket.name}/${bucket.root.fullKey(from)}`);
  return {
    'x-amz-copy-source': path,
    ...(etag !== undefined && { 'x-amz-copy-source-if-match': `"${etag}"` }),
  };
}

/**
 * Makes a copy on condition of the source's ETag. Swift reports an ETag for objects of several parts but does not accept
 * it as a condition. Then conditional copies are not tried again in this bucket.
 * @returns undefined if so
 */
async function conditional<T>(
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

/**
 * Concatenates objects on the server: see `ObjectWriter.concatenate`. Their keys are never written to again, so the copies
 * need no condition.
 */
export async function concatenateObjects(
  bucket: S3Bucket,
  store: Store,
  to: string,
  pieces: readonly Piece[],
  { metadata = {}, tail }: ConcatenateOptions,
): Promise<boolean> {
  const ranges = pieces.flatMap(({ key, sizes }) =>
    rangesOf(sizes.map((size) => ({ size }))).map((range) => ({ key, range })),
  );
  const { parallel } = bucket.options.copy ?? defaultCopy;
  return await withMultipart(store, to, metadata, async (uploadId) => {
    const copied = await inParallel(ranges, parallel, async ({ key, range }, number) => {
      return await copyOnServer(bucket, { from: key, to, uploadId }, number, range);
    });
    if (copied === undefined || tail.byteLength === 0) return copied;
    return [...copied, await store.uploadPart(to, uploadId, ranges.length + 1, tail)];
  });
}

/** Makes an object of the parts that `write` writes. @returns false, with nothing done, if that is undefined */
async function withMultipart(
  store: Store,
  key: string,
  metadata: Readonly<Record<string, string>>,
  write: (uploadId: string) => Promise<readonly UploadedPart[] | undefined>,
): Promise<boolean> {
  const uploadId = await store.createMultipart(key, { metadata });
  try {
    const parts = await write(uploadId);
    if (parts === undefined) await store.abortMultipart(key, uploadId);
    else await store.completeMultipart(key, uploadId, parts);
    return parts !== undefined;
  } catch (error) {
    await store.abortMultipart(key, uploadId).catch(() => undefined);
    throw error;
  }
}

interface PartsCopy extends Copy {
  readonly uploadId: string;
}

/** A range of the source that becomes a part. */
interface CopiedRange extends Required<ByteRange> {
  /** ETag of the source's part that it is, if known. */
  readonly etag?: string;
}

/** A way to copy parts. */
interface Method {
  readonly ranges: readonly CopiedRange[];
  readonly parallel: number;
  /** Resolves to undefined if the server does not support it. */
  readonly copyPart: (range: CopiedRange, number: number) => Promise<UploadedPart | undefined>;
}

/**
 * Copies an object to the parts of an upload, by the first method that the server supports. They differ in how they verify
 * that the bytes are those of the expected object:
 * - the server compares the ETag of the whole;
 * - each part must get the ETag that it had in the source: the MD5 of its bytes, unless encrypted with a KMS key;
 * - this process reads and writes the bytes, and each read returns the object's ETag.
 */
async function copyParts(bucket: S3Bucket, store: Store, copy: PartsCopy): Promise<UploadedPart[]> {
  const { from, to, uploadId, source } = copy;
  const { partSize, parallel } = bucket.options.copy ?? defaultCopy;
  const methods: Method[] = [
    {
      ranges: equalRanges(source.size, partSize),
      parallel,
      copyPart: async (range, number) =>
        await conditional(
          bucket,
          store,
          copy,
          async () => await copyOnServer(bucket, copy, number, range, source.etag),
        ),
    },
    {
      ranges: rangesOf(source.parts ?? []),
      parallel,
      copyPart: async (range, number) => {
        const part = await copyOnServer(bucket, copy, number, range);
        return part?.etag === range.etag ? part : undefined;
      },
    },
    {
      ranges: equalRanges(source.size, readPartSize),
      parallel: parallelReads,
      copyPart: async (range, number) => {
        const { body, etag } = await store.open(from, range);
        if (etag === source.etag) return await store.uploadPart(to, uploadId, number, await buffer(body));
        body.destroy();
        throw new PreconditionFailed(from);
      },
    },
  ];
  const usable = bucket.supportsConditionalCopies ? methods : methods.slice(1);
  for (const { ranges, parallel: limit, copyPart } of usable) {
    const copied = await inParallel(ranges, limit, copyPart);
    if (copied !== undefined && copied.length > 0) return copied;
  }
  throw new StoreUnavailable(from, `the bucket has no way to copy ${from}`);
}

/** @param etag as in {@link copySource} @returns undefined if the server cannot copy parts */
async function copyOnServer(
  bucket: S3Bucket,
  { from, to, uploadId }: Pick<PartsCopy, 'from' | 'to' | 'uploadId'>,
  number: number,
  { start, end }: CopiedRange,
  etag?: string,
): Promise<UploadedPart | undefined> {
  const request = {
    ...bucket.object('UploadPartCopy', 'PUT', to),
    query: { partNumber: String(number), uploadId },
    headers: { 'x-amz-copy-source-range': `bytes=${start}-${end}`, ...copySource(bucket, from, etag) },
    timeoutMs: copyTimeoutMs,
  };
  const response = await bucket.send(from, request, (error) => {
    if (failureOf(error).status === 501) return undefined;
    throw error;
  });
  if (response === undefined) return undefined;
  return { number, etag: unquote(textOf(response.body.toString(), 'ETag')), size: end - start + 1 };
}

/** The ranges of consecutive parts. */
function rangesOf(parts: readonly { readonly size: number; readonly etag?: string }[]): CopiedRange[] {
  let start = 0;
  return parts.map(({ size, etag }) => {
    start += size;
    return { start: start - size, end: start - 1, ...(etag !== undefined && { etag }) };
  });
}

/** Ranges of `partSize` bytes, or larger ones where there would be too many parts. */
function equalRanges(size: number, partSize: number): Required<ByteRange>[] {
  const length = Math.max(partSize, Math.ceil(size / s3Limits.maxParts));
  return Array.from({ length: Math.ceil(size / length) }, (_, i) => ({
    start: i * length,
    end: Math.min(size, (i + 1) * length) - 1,
  }));
}

/**
 * Runs work on all items, `parallel` at a time; stops at the first failure or undefined result, once the work in progress
 * has ended.
 * @returns the results in order of the items, or undefined if one is undefined
 */
async function inParallel<T, R>(
  items: readonly T[],
  parallel: number,
  work: (item: T, number: number) => Promise<R | undefined>,
): Promise<R[] | undefined> {
  const results: R[] = [];
  const state = { isStopped: false };
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) {
      try {
        const result = await work(item, index + 1);
        if (result === undefined) state.isStopped = true;
        else results[index] = result;
      } catch (error) {
        state.isStopped = true;
        throw error;
      }
      if (state.isStopped) return;
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: parallel }, worker));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  return state.isStopped ? undefined : results;
}
