/** What a key had, for a read to tell: a digest, `there` or `gone`. */
export type Value = string;

export const gone: Value = 'gone';
export const there: Value = 'there';

interface Write {
  readonly value: Value;
  readonly start: number;
  /** Infinity if it is unknown whether or when it took effect. */
  readonly end: number;
  /** Whether it took effect for certain. */
  readonly certain: boolean;
}

/** A span of the history's own time, from before a request was sent until after its answer. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * What many clients at once have written under some keys, and so what each may read. A read may have the value of any
 * write that began before the read ended, unless another write for certain began after that one had ended, and ended
 * before the read began (a regular register, in the words of Lamport). Each key begins as `gone`.
 */
export class History {
  #clock = 0;
  readonly #writes = new Map<string, Write[]>();
  readonly #underWay = new Set<number>();

  /** The beginning of an operation. */
  begin(): number {
    const start = ++this.#clock;
    this.#underWay.add(start);
    return start;
  }

  /** The end of an operation, which then reports its writes and reads. */
  end(start: number): Span {
    this.#underWay.delete(start);
    return { start, end: ++this.#clock };
  }

  /** A write that was answered with success. */
  wrote(key: string, value: Value, { start, end }: Span): void {
    this.#add(key, { value, start, end, certain: true });
  }

  /** A write that may have had an effect within a span, or not. */
  mayHaveWritten(key: string, value: Value, { start, end }: Span): void {
    this.#add(key, { value, start, end, certain: false });
  }

  /** A write in progress or whose response was lost: it may take effect now, later or never. */
  mayWrite(key: string, value: Value, start: number): void {
    this.#add(key, { value, start, end: Infinity, certain: false });
  }

  /** Takes back what an operation might have written, now that it has been answered. */
  settle(start: number): void {
    for (const [key, writes] of this.#writes)
      if (writes.some((write) => write.start === start && write.end === Infinity))
        this.#writes.set(
          key,
          writes.filter((write) => write.start !== start || write.end !== Infinity),
        );
  }

  /** Everything that a read in a span may have found. */
  possible(key: string, { start, end }: Span): ReadonlySet<Value> {
    const writes = this.#of(key);
    const found = writes.filter((write) => write.start < end && !isOver(write, writes, start));
    return new Set(found.map(({ value }) => value));
  }

  /** The writes of a key that still matter, for a message. */
  tell(key: string): string {
    const lines = this.#of(key).map(
      ({ value, start, end, certain }) => `  ${start} to ${end}: ${value}${certain ? '' : ' (perhaps)'}`,
    );
    return [`${key} at ${this.#clock}:`, ...lines].join('\n');
  }

  #of(key: string): readonly Write[] {
    return this.#writes.get(key) ?? [initial];
  }

  #add(key: string, write: Write): void {
    const writes = [...this.#of(key), write];
    // No current or later read can find what was replaced before the oldest current read.
    const oldest = Math.min(this.#clock, ...this.#underWay);
    this.#writes.set(
      key,
      writes.filter((one) => !isOver(one, writes, oldest)),
    );
  }
}

const initial: Write = { value: gone, start: 0, end: 0, certain: true };

/** Whether a write has been replaced for certain before a time. */
function isOver(write: Write, writes: readonly Write[], time: number): boolean {
  return writes.some(({ certain, start, end }) => certain && start > write.end && end < time);
}
