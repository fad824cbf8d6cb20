import { deriveKey } from './registry/derived-keys.ts';
import { requestScope } from './request-scope.ts';

/** Characters of the header that are passed on. No chain of registries that is meant is as long. */
const maxPassed = 1_000;

/**
 * Finds requests that have come from this registry itself, by way of an upstream that redirects to it or is a cache of it: each would ask
 * the upstream again, at another instance, without end (RFC 8586, "Loop Detection in Content Delivery Networks").
 */
export class UpstreamLoops {
  readonly #own: string;

  /** @param secret of the registry, so that all instances of it have one name, and other registries have others */
  constructor(secret: string) {
    this.#own = `stowage-${deriveKey(secret, 'stowage name in CDN-Loop').toString('hex', 0, 8)}`;
  }

  /** Whether the request that is being handled has come from this registry. */
  readonly isLoop = (): boolean => {
    const passed = requestScope()?.cdnLoop ?? '';
    return passed.length > maxPassed || passed.split(/[\s,;]+/).includes(this.#own);
  };

  /** For requests to upstreams. */
  readonly headers = (): Readonly<Record<string, string>> => {
    const passed = requestScope()?.cdnLoop ?? '';
    return { 'cdn-loop': passed === '' ? this.#own : `${passed}, ${this.#own}` };
  };
}
