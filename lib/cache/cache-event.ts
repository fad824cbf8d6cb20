/** What a cache of other registries reports, for metrics. */
export interface CacheEvent {
  readonly type: 'manifest' | 'blob';
  /**
   * - `hit`, `miss`: a client asked for something that is in the bucket, or is not
   * - `stale`: a tag was answered although its upstream could not be asked
   * - `pulled`, `pushed`: bytes came from an upstream, or went to a client
   */
  readonly kind: 'hit' | 'miss' | 'stale' | 'pulled' | 'pushed';
  /** Of `pulled` and `pushed`. */
  readonly bytes?: number;
}

/** May neither throw nor wait. */
export type ObserveCache = (event: CacheEvent) => void;
