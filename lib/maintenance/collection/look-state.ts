import { createHash } from 'node:crypto';
import type { SavedReferences } from './known-references.ts';
import type { LookPosition } from './look.ts';

/** What another process needs to go on with a look. */
export interface LookState {
  readonly position: LookPosition;
  /** The names of the segments of its spool. */
  readonly segments: readonly string[];
  /** What its visitor has saved. */
  readonly visitor: Buffer;
  readonly isComplete: boolean;
}

/**
 * The SHA-256 of all that follows in hexadecimal, a line end, JSON without line ends, a line end, and the packs and bytes that the
 * JSON gives the sizes of.
 */
interface Header extends Pick<LookState, 'segments' | 'isComplete'> {
  readonly version: typeof version;
  readonly position: Omit<LookPosition, 'references'>;
  readonly references: Omit<SavedReferences, 'known' | 'pending'> | null;
  readonly sizes: readonly number[];
}

const version = 2;

/** Bytes of the largest state that is read. */
export const maxStateBytes = 512 * 1024 * 1024;

export function serializeLookState({ position, segments, visitor, isComplete }: LookState): Buffer {
  const { references, ...at } = position;
  const { known, pending, ...names } = references ?? { known: Buffer.alloc(0), pending: Buffer.alloc(0) };
  const parts = [known, pending, visitor];
  const header: Header = {
    version,
    segments,
    isComplete,
    position: at,
    references: references === undefined ? null : (names as Header['references']),
    sizes: parts.map(({ length }) => length),
  };
  const content = [Buffer.from(`${JSON.stringify(header)}\n`), ...parts];
  return Buffer.concat([Buffer.from(`${hashOf(...content)}\n`), ...content]);
}

/** @returns undefined if it is damaged, or of another release */
export function parseLookState(bytes: Buffer): LookState | undefined {
  const end = bytes.indexOf('\n');
  const content = bytes.subarray(end + 1);
  // What has this hash was written by this program.
  if (end < 0 || hashOf(content) !== bytes.toString('latin1', 0, end)) return undefined;
  const headerEnd = content.indexOf('\n');
  const header = JSON.parse(content.toString('utf8', 0, headerEnd)) as Header;
  if ((header.version as number) !== version) return undefined;
  let at = headerEnd + 1;
  const [known, pending, visitor] = header.sizes.map((size) => content.subarray(at, (at += size)));
  if (known === undefined || pending === undefined || visitor === undefined) return undefined;
  const { position, references, segments, isComplete } = header;
  return {
    position: {
      ...position,
      references: references === null ? undefined : { ...references, known, pending },
    },
    segments,
    visitor,
    isComplete,
  };
}

function hashOf(...parts: readonly Buffer[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}
