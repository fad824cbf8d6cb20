/** What a client may cost a process: time, connections and memory. Tests have shorter ones. */
export interface Limits {
  /**
   * The least of a body that must come in so many milliseconds of waiting for it. The time that the storage takes does
   * not count.
   */
  readonly pace: { readonly bytes: number; readonly within: number };
  /** The same while other requests wait for the place of a body. */
  readonly contendedPace: { readonly bytes: number; readonly within: number };
  /** The least of its answers that a client must take in so many milliseconds of waiting for it. */
  readonly answerPace: { readonly bytes: number; readonly within: number };
  /** Milliseconds a request waits until fewer bodies are being taken. */
  readonly queue: number;
  /** Milliseconds for the headers of a request. */
  readonly headers: number;
  /** Milliseconds a connection may stay silent while it is the client's turn. */
  readonly silence: number;
  /**
   * Milliseconds within which a request is answered that is little work, whatever the storage does; undefined where nobody
   * but the client waits.
   */
  readonly answer: number | undefined;
  /** Milliseconds a push waits for the list of repositories to take it in. */
  readonly record: number;
  /** Milliseconds for a client that still sends to notice that it has been answered. */
  readonly farewell: number;
  /** Requests without bodies that are worked on at once, by what they ask for, and how many more wait. */
  readonly requests: Readonly<Record<RequestKind, { readonly atOnce: number; readonly waiting: number }>>;
}

/**
 * - `lookups`: a few small objects of the storage
 * - `lists`: of the storage or of a database
 * - `referrers`: each may hold megabytes of annotations
 */
export type RequestKind = 'lookups' | 'lists' | 'referrers';

export const usualLimits: Limits = {
  // 273 bytes a second: any modem does better.
  pace: { bytes: 16 * 1024, within: 60_000 },
  // 64 KiB a second.
  contendedPace: { bytes: 640 * 1024, within: 10_000 },
  answerPace: { bytes: 32 * 1024, within: 120_000 },
  // Less than proxies usually wait for an answer.
  queue: 30_000,
  headers: 60_000,
  silence: 120_000,
  answer: undefined,
  record: 2_000,
  farewell: 5_000,
  requests: {
    lookups: { atOnce: 256, waiting: 2_000 },
    lists: { atOnce: 64, waiting: 1_000 },
    referrers: { atOnce: 8, waiting: 1_000 },
  },
};

/** A gateway gives up after 30 s, and its answer is none that clients read. */
export const functionLimits: Limits = { ...usualLimits, answer: 26_000 };
