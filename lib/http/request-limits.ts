import type { Context } from 'koa';
import type { Group } from '../protocol/routes.ts';
import { ConcurrencyLimit } from '../concurrency/concurrency-limit.ts';
import type { Limits, RequestKind } from './limits.ts';

/** None for what asks for nothing, and for uploads, which see to it themselves. */
const kinds: Readonly<Partial<Record<Group, RequestKind>>> = {
  manifests: 'lookups',
  blobs: 'lookups',
  catalog: 'lists',
  search: 'lists',
  tags: 'lists',
  referrers: 'referrers',
};

/**
 * How many requests without bodies are worked on at once. A request counts until its work has ended, also when its client has
 * hung up: it may wait for a bucket, a database or a lock, or for what another one reads, none of which bounds how many do.
 * What brings a body is limited by that.
 */
export class RequestLimits {
  readonly #limits: Readonly<Record<RequestKind, ConcurrencyLimit>>;

  constructor({ requests, queueTimeoutMs: timeoutMs }: Pick<Limits, 'requests' | 'queueTimeoutMs'>) {
    const limit = ({ atOnce, waiting }: Limits['requests'][RequestKind]) =>
      new ConcurrencyLimit(atOnce, { queueLimit: waiting, timeoutMs });
    this.#limits = {
      lookups: limit(requests.lookups),
      lists: limit(requests.lists),
      referrers: limit(requests.referrers),
    };
  }

  /** Looks something up when it is its turn. @throws RegistryError BUSY */
  async lookUp<T>(work: () => Promise<T>): Promise<T> {
    return await this.#limits.lookups.run(work);
  }

  /** Does the work of a request when it is its turn. @throws RegistryError BUSY */
  async run(group: Group, { method, req }: Context, work: () => Promise<void>): Promise<void> {
    const kind = method === 'GET' || method === 'HEAD' || method === 'DELETE' ? kinds[group] : undefined;
    if (kind === undefined) await work();
    else
      await this.#limits[kind].run(async () => {
        if (req.socket.destroyed)
          throw Object.assign(new Error('the client hung up'), { code: 'ECONNRESET' });
        await work();
      });
  }
}
