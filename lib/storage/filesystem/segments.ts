import { randomUUID } from 'node:crypto';

/** Uploads whose segment is remembered; one forgotten goes on in a new segment. */
const maxRemembered = 1000;

/** A file that takes the parts one process writes one after another. */
export interface Segment {
  readonly name: string;
  readonly key: string;
  /** Resolves once its file is made. */
  readonly begun: Promise<void>;
  /** Where the next part goes. */
  end: number;
  nextPart: number;
}

/** Where a part's bytes go. */
export interface Slot {
  readonly segment: Segment;
  readonly offset: number;
  /** Whether the segment was begun for this part. */
  readonly fresh: boolean;
}

/**
 * The segments this process writes to, by upload id. A part that follows the last one continues its segment; any other
 * begins a new one, so that no two parts ever share bytes. In memory only: another process begins its own.
 */
export class Segments {
  readonly #open = new Map<string, Segment>();

  /**
   * Takes room for a part. Synchronous, so that parts get their places in the order of the calls.
   * @param begin makes the file of a new segment
   */
  reserve(
    uploadId: string,
    key: string,
    number: number,
    size: number,
    begin: (name: string) => Promise<void>,
  ): Slot {
    const open = this.#open.get(uploadId);
    const fresh = open?.key !== key || open.nextPart !== number;
    const segment = fresh ? this.#begin(uploadId, key, begin) : open;
    const offset = segment.end;
    segment.end += size;
    segment.nextPart = number + 1;
    return { segment, offset, fresh };
  }

  #begin(uploadId: string, key: string, begin: (name: string) => Promise<void>): Segment {
    const name = randomUUID();
    const segment = { name, key, begun: begin(name), end: 0, nextPart: 1 };
    this.#open.delete(uploadId);
    this.#open.set(uploadId, segment);
    const [eldest] = this.#open.keys();
    if (this.#open.size > maxRemembered && eldest !== undefined) this.#open.delete(eldest);
    return segment;
  }

  /** No more parts into the segment of an upload; only if it is still this one, where given. */
  close(uploadId: string, segment = this.#open.get(uploadId)): void {
    if (this.#open.get(uploadId) === segment) this.#open.delete(uploadId);
  }
}
