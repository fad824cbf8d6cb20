/** What is delivered of the intents in a bucket, as far as it concerns the registry: nobody takes it. */
import type { EventContext } from '../../../lib/registry/events.ts';
import type { Registry } from '../../../lib/registry/interface.ts';
import type { Change } from '../../../lib/registry/outbox/change.ts';
import { BucketOutbox, type OutboxOptions } from '../../../lib/registry/outbox/outbox.ts';
import { PendingIntents } from '../../../lib/registry/outbox/pending.ts';
import { Resolver, type ResolverOptions } from '../../../lib/registry/outbox/resolve.ts';
import { createRegistry } from '../../../lib/registry/registry.ts';
import { withEvents } from '../../../lib/registry/wrappers/with-events.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';

export const context: EventContext = {
  actor: 'alice',
  request: {
    id: 'request-1',
    method: 'PUT',
    path: '/v2/team/app/manifests/v1',
    host: 'registry.example.com',
    protocol: 'https',
    userAgent: 'docker/27',
    address: '203.0.113.7',
  },
};

export function outboxOn(store: ObjectStore, options: Partial<OutboxOptions> = {}): BucketOutbox {
  const source = { address: 'registry-1:5000', instance: '0d9a6a0e-2c0b-4b52-8a4f-0f3a9d6b1c11' };
  return new BucketOutbox(store, { takes: () => true, source, ...options });
}

/** A registry of another process, whose changes nobody is told of. */
export function registryOn(store: ObjectStore): Registry {
  return createRegistry(store, { secrets: ['the secret of all processes'] });
}

/** … whose changes all are announced. */
export function announcing(store: ObjectStore, options: Partial<OutboxOptions> = {}): Registry {
  return withEvents(registryOn(store), context, () => undefined, outboxOn(store, options));
}

export interface DeliveredEvent {
  readonly id: string;
  readonly change: Change;
}

/** Later than any write can land. */
const muchLater = () => Date.now() + 25 * 60 * 60 * 1000;

/** Delivers events in order. */
export class Deliveries {
  readonly events: DeliveredEvent[] = [];
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** @returns whether intents are left */
  async look(options: ResolverOptions = {}): Promise<boolean> {
    const intents = (await Array.fromAsync(new PendingIntents(this.#store).list())).flat();
    const resolutions = await new Resolver(this.#store, options).resolve(intents);
    let isLeft = false;
    const held = new Set<string>();
    for (const [at, resolution] of resolutions.entries()) {
      const one = intents[at];
      if (one === undefined) continue;
      const { repository } = one.intent.change;
      if (resolution.outcome === 'undecided' || held.has(repository)) {
        isLeft = true;
        if (resolution.outcome === 'undecided' && resolution.blocks) held.add(repository);
        continue;
      }
      if (resolution.outcome === 'happened')
        for (const change of resolution.changes) this.events.push({ id: one.intent.id, change });
      await this.#store.delete([one.key]);
    }
    return isLeft;
  }

  /** Once nothing can land any more. */
  async lookLater(): Promise<void> {
    if (await this.look({ now: muchLater })) throw new Error('an intent is still undecided');
  }

  /** Each in few words, without its repository. */
  get summaries(): readonly string[] {
    return this.events.map(({ change }) => summary(change));
  }
}

export function summary(change: Change): string {
  const what = `${change.action} ${change.content}`;
  if (change.content === 'repository') return what;
  if (change.content === 'tag') return `${what} ${change.tag}`;
  const digest = change.digest.slice(7, 13);
  if (change.content === 'blob') return `${what} ${digest}`;
  return [what, digest, ...change.tags].join(' ');
}
