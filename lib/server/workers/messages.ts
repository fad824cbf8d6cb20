import type { ClaimRequest, ClaimResponse } from '../../cache/shared-claims.ts';
import type { AttemptRequest, AttemptResponse } from '../../access/htpasswd/shared-attempts.ts';

/** What the primary process sends to its workers. */
export type ToWorker =
  /** See {@link StreamingServer}. */
  | { readonly stowage: 'stop' }
  | { readonly stowage: 'announce stop' }
  /** Asks what is not ready. */
  | { readonly stowage: 'unready' }
  /** To the first one: another worker has written something that endpoints are told of. */
  | { readonly stowage: 'written' }
  | AttemptResponse
  | ClaimResponse;

/** What a worker sends to the primary process, beside its metrics. */
export type FromWorker =
  /** It takes messages from now on; those sent before are lost. */
  | { readonly stowage: 'starting' }
  | { readonly stowage: 'listening'; readonly url: string }
  /** Requests in flight have changed. */
  | { readonly stowage: 'requests'; readonly count: number }
  /** Endpoints are told of something that it has written. */
  | { readonly stowage: 'written' }
  /** The answer to `unready`. */
  | { readonly stowage: 'unready'; readonly names: readonly string[] }
  | AttemptRequest
  | ClaimRequest;
