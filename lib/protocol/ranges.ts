import { RegistryError } from './errors.ts';

/** Bytes `start` to `end`, both inclusive and counted from 0. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * The bytes a `Range` header requests (RFC 9110, section 14). A single byte range is honoured. Several ranges or an invalid
 * header are ignored, as the RFC allows; podman accepts the whole body. A suffix of an empty body is the whole body (section
 * 14.1.2), which no `Content-Range` can express.
 * @param size of the whole body in bytes
 * @returns undefined for the whole body
 * @throws RegistryError RANGE_INVALID if no byte of it exists, with the size in `Content-Range` (section 15.5.17)
 */
export function requestedSpan(header: string | undefined, size: number): Span | undefined {
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(header?.replaceAll(' ', '') ?? '') ?? [];
  if (from === undefined || to === undefined || (from === '' && to === '')) return undefined;
  if (from === '' && Number(to) > 0 && size === 0) return undefined;
  const span =
    from === ''
      ? { start: Math.max(0, size - Number(to)), end: size - 1 }
      : { start: Number(from), end: to === '' ? size - 1 : Math.min(Number(to), size - 1) };
  if (from !== '' && to !== '' && Number(to) < Number(from))
    // Invalid, so rejected (RFC 9110, section 15.5.17): the client did not mean the whole blob.
    throw notSatisfiable('the last byte of the range is before its first', size);
  if (span.start >= size) throw notSatisfiable(`the blob has ${size} bytes`, size);
  return span;
}

function notSatisfiable(message: string, size: number): RegistryError {
  return new RegistryError('RANGE_INVALID', message, [], { headers: { 'Content-Range': `bytes */${size}` } });
}

/**
 * Reads the `Content-Range` of a chunk: `<start>-<end>`, inclusive (OCI Distribution Spec, "Pushing a blob in chunks"),
 * or `bytes <start>-<end>/<size>` as in HTTP, which some clients send.
 * @throws RegistryError BLOB_UPLOAD_INVALID
 */
export function parseContentRange(header: string): Span {
  const [, start, end] = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(header.trim()) ?? [];
  if (start === undefined || end === undefined || Number(end) < Number(start))
    throw new RegistryError('BLOB_UPLOAD_INVALID', 'Content-Range must be <start>-<end>, both inclusive');
  return { start: Number(start), end: Number(end) };
}

/**
 * The `Range` of an upload with this many bytes. An empty upload is `0-0` as well: the header cannot express it, and
 * distribution's clients expect that.
 */
export function uploadRange(offset: number): string {
  return `0-${Math.max(0, offset - 1)}`;
}
