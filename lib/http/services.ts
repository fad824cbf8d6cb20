import type { Logger } from 'pino';
import type { UrlSigner } from '../registry/url-signer.ts';
import type { ConcurrencyLimit } from '../concurrency/concurrency-limit.ts';
import type { Publish } from '../registry/events.ts';
import type { Registry } from '../registry/interface.ts';
import type { BufferPool } from '../registry/uploads/buffer-pool.ts';
import type { Search } from '../search/search.ts';
import type { MemoryBudget } from '../storage/memory-budget.ts';
import type { Limits } from './limits.ts';
import type { RequestLimits } from './request-limits.ts';
import type { Urls } from './urls.ts';

/** What the operations work with. Made once per process and passed in. */
export interface Services {
  readonly registry: Registry;
  /** Tells of what a request has done, once it is done. */
  readonly publish: Publish;
  readonly search: Search;
  readonly urlSigner: UrlSigner;
  readonly urls: Urls;
  readonly log: Logger;
  /** Tells of a URL with a signature that is not of this process's secrets. */
  readonly warnOfForeign: (request: { readonly path: string }) => void;
  /** Whether pulls are sent to the store's own URLs. */
  readonly redirectEnabled: boolean;
  /** Whether this program can answer with a body of any size. */
  readonly streams: boolean;
  /** Bytes clients should send in a chunk of an upload, where the size of a request is limited. */
  readonly chunkSize: number | undefined;
  readonly limits: Limits;
  /** For bodies of requests, which may come slowly. */
  readonly bodies: ConcurrencyLimit;
  /** For requests without bodies. */
  readonly requests: RequestLimits;
  /** For what a manifest that has come takes: its checks are thousands of requests to a bucket, and its fields megabytes. */
  readonly manifestPushes: ConcurrencyLimit;
  /** For the bytes of large manifests that come. */
  readonly manifestMemory: BufferPool;
  /** For answers that are whole in memory. */
  readonly answerMemory: MemoryBudget;
}
