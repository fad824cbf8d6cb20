import { hash } from 'node:crypto';
import type { Fence } from '../store.ts';
import type { FenceOptions } from './bucket.ts';
import type { S3Request } from './client/client.ts';

/** What S3 and its proxies are given unless a test has less time. */
export const usualFence: FenceOptions = { lifetimeMs: 2 * 60_000, marginMs: 10 * 60_000 };

/** A request that changes something. */
export type ChangeRequest = S3Request & Required<Pick<S3Request, 'headers' | 'body'>>;

/**
 * A request that the bucket refuses once its fence has ended. It is signed in its query, where a signature can say how long it is valid;
 * that does not cover the body, so a checksum among the signed headers does, for servers without TLS.
 */
export function fenced(
  request: ChangeRequest,
  fence: Fence | undefined,
  options: { readonly fence?: FenceOptions | undefined; readonly isProbe?: boolean },
): ChangeRequest {
  if (fence === undefined) return request;
  const { fence: { lifetimeMs } = usualFence, isProbe = false } = options;
  return {
    ...request,
    headers: { ...request.headers, 'content-md5': hash('md5', request.body, 'base64') },
    // Never longer than those who wait for its end believe.
    validity: { fromMs: fence.opened.getTime(), expiresIn: Math.floor(lifetimeMs / 1000), isProbe },
  };
}
