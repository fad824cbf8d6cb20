import { randomUUID } from 'node:crypto';

/** Uploads with an open segment; after eviction, an upload continues in a new segment. */
const maxOpen = 1000;

/** A file to which one process appends consecutive parts. */
interface Segment {
  readonly name: string;
  readonly key: string;
  /** Resolves once its file exists. */
  readonly created: Promise<void>;
  /** Offset of the next part. */
  end: number;
  nextPart: number;
}

/** The place for a part's bytes. */
export interface Slot {
  readonly segment: Segment;
  readonly offset: number;
  /** Whether the segment was created for this part. */
  readonly isNew: boolean;
}

/**
 * The segments that this process writes to, by upload id. A part that follows the last one continues its segment; any other
 * part starts a new segment, so no two parts share bytes. In memory only: other processes have their own segments.
 */
export class Segments {
  readonly #open = new Map<string, Segment>();

  /**
   * Reserves space for a part. Synchronous, so that parts are placed in the order of the calls.
   * @param create creates the file of a new segment
   */
  reserve(
    uploadId: string,
    key: string,
    number: number,
    size: number,
    create: (name: string) => Promise<void>,
  ): Slot {
    const open = this.#open.get(uploadId);
    const isNew = open?.key !== key || open.nextPart !== number;
    const segment = isNew ? this.#startSegment(uploadId, key, create) : open;
    const offset = segment.end;
    segment.end += size;
    segment.nextPart = number + 1;
    return { segment, offset, isNew };
  }

  #startSegment(uploadId: string, key: string, create: (name: string) => Promise<void>): Segment {
    const name = randomUUID();
    const segment = { name, key, created: create(name), end: 0, nextPart: 1 };
    this.#open.delete(uploadId);
    this.#open.set(uploadId, segment);
    const [oldest] = this.#open.keys();
    if (this.#open.size > maxOpen && oldest !== undefined) this.#open.delete(oldest);
    return segment;
  }

  /** Closes an upload's segment to further parts, unless it is no longer the given one. */
  close(uploadId: string, segment = this.#open.get(uploadId)): void {
    if (this.#open.get(uploadId) === segment) this.#open.delete(uploadId);
  }
}
