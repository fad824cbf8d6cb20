import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import type { ByteRange } from '../storage/store.ts';
import { cutOut } from './blob-body.ts';

/** A range of a blob, first and last byte included. That of an empty blob ends before it starts. */
export interface OpenedRange {
  /** Bytes of the whole blob. */
  readonly size: number;
  readonly start: number;
  readonly end: number;
  readonly body: Readable;
}

/** Reads a response to a request for a range. @returns undefined if it is none, or does not say what it has */
export function openRange(response: IncomingMessage, { start, end }: ByteRange): OpenedRange | undefined {
  const { statusCode, headers } = response;
  // Bytes that are compressed for the way are not those of the digest.
  if (headers['content-encoding'] !== undefined && headers['content-encoding'] !== 'identity')
    return undefined;
  const sent = statusCode === 206 ? partOf(headers['content-range']) : wholeOf(headers['content-length']);
  if (sent === undefined || (statusCode !== 206 && statusCode !== 200)) return undefined;
  const last = Math.min(end ?? Infinity, sent.size - 1);
  const opened = { size: sent.size, start, end: last };
  if (statusCode === 206)
    return sent.start === start && sent.end === last ? { ...opened, body: response } : undefined;
  // Some servers know no ranges, and send all.
  const isAll = start === 0 && last === sent.size - 1;
  return { ...opened, body: isAll ? response : cutOut(response, start, Math.max(0, last + 1 - start)) };
}

interface Sent {
  readonly size: number;
  readonly start: number;
  readonly end: number;
}

function partOf(header: string | undefined): Sent | undefined {
  const [, start, end, size] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(header ?? '') ?? [];
  if (size === undefined) return undefined;
  return { size: Number(size), start: Number(start), end: Number(end) };
}

function wholeOf(header: string | undefined): Sent | undefined {
  if (header === undefined || !/^\d{1,15}$/.test(header)) return undefined;
  return { size: Number(header), start: 0, end: Number(header) - 1 };
}
