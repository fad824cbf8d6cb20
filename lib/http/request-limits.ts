import type { Group } from '../protocol/routes.ts';
import { ConcurrencyLimit } from '../concurrency/concurrency-limit.ts';
import { runInPlace } from '../concurrency/held-place.ts';
import type { Exchange } from './exchange.ts';
import type { Limits, RequestKind } from './limits.ts';

/** Other groups need no limit, and uploads have their own. */
const kinds: Readonly<Partial<Record<Group, RequestKind>>> = {
  manifests: 'lookups',
  blobs: 'lookups',
  catalog: 'lists',
  search: 'lists',
  tags: 'lists',
  referrers: 'referrers',
};

/**
 * Concurrency limits of requests without bodies. A request counts until its work ends, even if its client has disconnected.
 * Requests with bodies have a limit of their own.
 */
export class RequestLimits {
  /** By kind, for metrics. */
  readonly limits: Readonly<Record<RequestKind, ConcurrencyLimit>>;

  constructor({ requests, queueTimeoutMs: timeoutMs }: Pick<Limits, 'requests' | 'queueTimeoutMs'>) {
    const limit = ({ atOnce, waiting }: Limits['requests'][RequestKind]) =>
      new ConcurrencyLimit(atOnce, { queueLimit: waiting, timeoutMs });
    this.limits = {
      lookups: limit(requests.lookups),
      lists: limit(requests.lists),
      referrers: limit(requests.referrers),
    };
  }

  /** @throws RegistryError BUSY */
  async lookUp<T>(work: () => Promise<T>): Promise<T> {
    return await this.limits.lookups.run(work);
  }

  /** @throws RegistryError BUSY */
  async run(group: Group, { method, req }: Exchange, work: () => Promise<void>): Promise<void> {
    const kind = method === 'GET' || method === 'HEAD' || method === 'DELETE' ? kinds[group] : undefined;
    if (kind === undefined) await work();
    else
      await runInPlace(this.limits[kind], async () => {
        if (req.socket.destroyed)
          throw Object.assign(new Error('the client disconnected'), { code: 'ECONNRESET' });
        await work();
      });
  }
}
