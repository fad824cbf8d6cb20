import { randomUUID } from 'node:crypto';

import type { UploadedPart } from '../store.ts';

/** Uploads with an open segment; after eviction, an upload continues in a new segment. */
const maxOpen = 1000;

/** A file to which one process appends consecutive parts. */
export interface Segment {
  readonly name: string;
  readonly key: string;
  /** Resolves once its file exists. */
  readonly created: Promise<void>;
  /** Offset of the next part. */
  end: number;
  nextPart: number;
  /** The last part, if another can continue it. */
  last?: { readonly etag: string; readonly offset: number } | undefined;
  /** Resolves once the disk has the last part, if no one waited for that. Never rejects. */
  synced?: Promise<void>;
  /** Whether it is marked as one that may not be synced. */
  isMarked: boolean;
}

/** The place for a part's bytes. */
export interface Slot {
  readonly segment: Segment;
  readonly offset: number;
  /** Whether the segment was created for this part. */
  readonly isNew: boolean;
}

/** Creates the file of a new segment. */
type Create = (name: string) => Promise<void>;

/**
 * The segments that this process writes to, by upload id. A part that follows the last one continues its segment; any other
 * part starts a new segment, so no two parts share bytes. In memory only: other processes have their own segments.
 */
export class Segments {
  readonly #open = new Map<string, Segment>();

  /** Reserves space for a part. Synchronous, so that parts are placed in the order of the calls. */
  reserve(uploadId: string, key: string, number: number, size: number, create: Create): Slot {
    const slot = this.take(uploadId, key, number, create);
    slot.segment.end += size;
    slot.segment.nextPart = number + 1;
    slot.segment.last = undefined;
    this.giveBack(uploadId, slot.segment);
    return slot;
  }

  /** Takes a segment for a part of unknown size. Until it is given back, other parts get other segments. */
  take(uploadId: string, key: string, number: number, create: Create): Slot {
    const open = this.#open.get(uploadId);
    const isNew = open?.key !== key || open.nextPart !== number;
    const segment = isNew ? startSegment(key, create) : open;
    this.#open.delete(uploadId);
    return { segment, offset: segment.end, isNew };
  }

  /** Takes the segment that ends with a part, to continue that. @returns undefined if this process has none */
  takeToContinue(uploadId: string, key: string, { etag, size }: UploadedPart): Slot | undefined {
    const segment = this.#open.get(uploadId);
    const last = segment?.last;
    if (segment?.key !== key || last?.etag !== etag || segment.end - last.offset !== size) return undefined;
    this.#open.delete(uploadId);
    return { segment, offset: last.offset, isNew: false };
  }

  /** Opens a segment that was taken to further parts, unless the upload has another one by now. */
  giveBack(uploadId: string, segment: Segment): void {
    if (this.#open.has(uploadId)) return;
    this.#open.set(uploadId, segment);
    const [oldest] = this.#open.keys();
    if (this.#open.size > maxOpen && oldest !== undefined) this.#open.delete(oldest);
  }

  /** Waits until the disk has all parts of an upload's segment, as far as this process knows. */
  async synced(uploadId: string): Promise<void> {
    await this.#open.get(uploadId)?.synced;
  }

  /** Closes an upload's segment to further parts, unless it is no longer the given one. */
  close(uploadId: string, segment = this.#open.get(uploadId)): void {
    if (this.#open.get(uploadId) === segment) this.#open.delete(uploadId);
  }
}

function startSegment(key: string, create: Create): Segment {
  const name = randomUUID();
  return { name, key, created: create(name), end: 0, nextPart: 1, isMarked: false };
}
