import type { ClaimRequest, ClaimResponse } from '../../cache/shared-claims.ts';
import type { AttemptRequest, AttemptResponse } from '../../access/htpasswd/shared-attempts.ts';

/** Endpoints are told of a write that was made. */
interface Written {
  readonly stowage: 'written';
  /** Of its intent. */
  readonly key: string;
}

/** What the primary process sends to its workers. */
export type ToWorker =
  /** See {@link StreamingServer}. */
  | { readonly stowage: 'stop' }
  | { readonly stowage: 'announce stop' }
  /** Asks what is not ready. */
  | { readonly stowage: 'unready' }
  /** To the first one: another worker has made a write that endpoints are told of. */
  | Written
  | AttemptResponse
  | ClaimResponse;

/** What a worker sends to the primary process, beside its metrics. */
export type FromWorker =
  /** It takes messages from now on; those sent before are lost. */
  | { readonly stowage: 'starting' }
  | { readonly stowage: 'listening'; readonly url: string }
  /** Requests in flight have changed. */
  | { readonly stowage: 'requests'; readonly count: number }
  | Written
  /** The answer to `unready`. */
  | { readonly stowage: 'unready'; readonly names: readonly string[] }
  | AttemptRequest
  | ClaimRequest;
