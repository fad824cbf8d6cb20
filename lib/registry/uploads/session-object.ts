import { RegistryError } from '../../protocol/errors.ts';
import { isRepositoryName, type RepositoryName } from '../../protocol/names.ts';
import { parseUploadKey } from '../layout.ts';
import type { HashState } from './content-hash.ts';
import type { Multipart, StoredPart } from './part-writer.ts';

/*
 * The session object of an upload: its description as a line of JSON, followed by the bytes of the tail.
 */

/** Maximum bytes of a description: 10,000 parts of some 200 bytes each. */
export const maxDescriptionBytes = 4 * 1024 * 1024;

/**
 * An upload in progress: its whole state in one object, so that state and bytes never disagree and any process can serve the
 * next request.
 */
export interface Session {
  readonly id: string;
  readonly repository: RepositoryName;
  readonly startedAt: Date;
  /** Bytes received. */
  readonly offset: number;
  readonly hash: HashState;
  /** Stores the bytes that fill parts; undefined while all are in the tail. */
  readonly multipart: Multipart | undefined;
  /** The bytes after the last part, fewer than the store's smallest part. */
  readonly tail: Buffer;
  /** Of the session object when it was loaded; undefined for a new session. */
  readonly etag: string | undefined;
}

/** The JSON line of a session object. */
export interface Description extends Omit<Session, 'id' | 'tail' | 'etag'> {
  readonly version: number;
  /** The CRC-32 of the tail: a power cut may leave zeros instead of it. Releases before this one wrote none. */
  readonly tailCrc?: number | undefined;
}

/** The session object is not as it was written, such as after a power cut. */
export class DamagedSession extends Error {
  override readonly name = 'DamagedSession';

  constructor(id: string) {
    super(`the session of the upload ${id} is damaged`);
  }
}

/** Functions that handle no upload start 4 ms of a processor faster without zlib. */
function crc32(bytes: Buffer): number {
  return process.getBuiltinModule('node:zlib').crc32(bytes);
}

/** @returns the bytes of the session object */
export function encodeSession({ repository, startedAt, offset, hash, multipart, tail }: Session): Buffer {
  // Releases that know only version 1 would lose parts that are objects.
  const version = multipart?.parts.some(({ key }) => key !== undefined) === true ? 2 : 1;
  const tailCrc = crc32(tail);
  const description = { version, repository, startedAt, offset, hash, multipart, tailCrc };
  return Buffer.concat([Buffer.from(`${JSON.stringify(description)}\n`), tail]);
}

/**
 * @throws RegistryError BLOB_UPLOAD_UNKNOWN if its version is unknown
 * @throws DamagedSession
 */
export function decodeSession(id: string, bytes: Buffer, etag: string): Session {
  const end = bytes.indexOf('\n');
  const description = parseDescription(id, bytes.toString('utf8', 0, end));
  if (description === undefined) throw new DamagedSession(id);
  const { version, tailCrc, ...rest } = description;
  if (version !== 1 && version !== 2) throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
  const session = { ...rest, id, tail: bytes.subarray(end + 1), etag };
  if (!hasAllBytes(session)) throw new DamagedSession(id);
  if (tailCrc !== undefined && tailCrc !== crc32(session.tail)) throw new DamagedSession(id);
  return session;
}

/**
 * Reads a description of any version.
 * @param line the first of the session object
 * @returns undefined if it is damaged
 */
export function parseDescription(id: string, line: string): Description | undefined {
  try {
    const description = JSON.parse(line) as Readonly<Record<string, unknown>>;
    const { version, repository, offset, startedAt, hash, multipart, tailCrc } = description;
    if (typeof repository !== 'string' || !isRepositoryName(repository) || typeof offset !== 'number')
      return undefined;
    if (multipart !== undefined && !isOfUpload(id, multipart)) return undefined;
    return {
      version: version as number,
      repository,
      offset,
      startedAt: new Date(startedAt as string),
      hash: hash as HashState,
      multipart,
      tailCrc: tailCrc as number | undefined,
    };
  } catch {
    return undefined;
  }
}

/** Ensures that a damaged session never affects keys of anything but its upload. */
function isOfUpload(id: string, value: unknown): value is Multipart {
  const { key, uploadId } = value as Readonly<Record<string, unknown>>;
  return typeof uploadId === 'string' && isDataKey(id, key);
}

function isDataKey(id: string, key: unknown): boolean {
  const parsed = typeof key === 'string' ? parseUploadKey(key) : undefined;
  return parsed?.id === id && parsed.kind === 'data';
}

/** Whether the parts and the tail are as many bytes as were received, and the upload's own: what is not would become a blob. */
function hasAllBytes({ id, offset, multipart, tail }: Session): boolean {
  const parts: unknown = multipart === undefined ? [] : multipart.parts;
  if (!Array.isArray(parts)) return false;
  const sizes = (parts as readonly StoredPart[]).map(({ key, size }) =>
    key === undefined || isDataKey(id, key) ? size : NaN,
  );
  return sizes.reduce((sum, size) => sum + size, tail.byteLength) === offset;
}
