import type { IncomingHttpHeaders } from 'node:http';
import type { ObserveCache } from './cache/cache-event.ts';
import { countBucketRequest, type RequestScope } from './request-scope.ts';
import type { Report } from './notifications/report.ts';
import type { Notification } from './registry/notification.ts';
import type { Subscriber } from './registry/subscriber.ts';
import type { PasswordOutcome } from './access/htpasswd/htpasswd.ts';
import type { BucketRequestEnd, ObserveBucketRequest } from './storage/bucket-requests.ts';
import { withObservedMethods } from './storage/observed-store.ts';
import type { ObjectStore } from './storage/store.ts';

/**
 * What parts of a process report while they work, for metrics or traces. No method may throw or wait. Names that come from clients,
 * such as paths, must not become labels: whoever sends requests could make any number of them.
 */
export interface Telemetry {
  /** A request has arrived. */
  readonly requestStarted?: (scope: RequestScope) => void;
  /** Its path is one of the registry's: `scope.route` is set. */
  readonly requestRouted?: (scope: RequestScope, headers: IncomingHttpHeaders) => void;
  /** Its response has ended, or its client has disconnected. Work for it may continue. */
  readonly requestEnded?: (scope: RequestScope, response: ResponseEnd) => void;
  /** As in {@link ObserveBucketRequest}. */
  readonly bucketRequest?: (operation: string) => (end: BucketRequestEnd) => void;
  /** A method of a store was called. @returns called when it has ended */
  readonly storeCall?: (method: string) => () => void;
  /** A manifest was looked up in the cache. */
  readonly cacheRead?: (isHit: boolean) => void;
  /** Something was pulled from a repository that is a cache of another registry, or came from there. */
  readonly cached?: ObserveCache;
  readonly passwordChecked?: (outcome: PasswordOutcome) => void;
  /** A push was added to the list of repositories, or was not. */
  readonly pushRecorded?: (outcome: ListOutcome) => void;
  /** The list of repositories was compared with the bucket. */
  readonly listReindexed?: (outcome: ListOutcome) => void;
  /** Something became of events for an endpoint. */
  readonly notified?: Report;
  /** There was an event, whether or not an endpoint is told of it. */
  readonly happened?: (event: Pick<Notification, 'action' | 'change'>) => void;
}

export interface ResponseEnd {
  readonly status: number;
  /** Whether the client got all of it. */
  readonly isComplete: boolean;
}

export type ListOutcome = 'success' | 'failure';

/** Counts a request to the bucket in its scope and reports it to all. */
export function observeBucketRequests(all: readonly Telemetry[]): ObserveBucketRequest {
  const observers = all.flatMap(({ bucketRequest }) => bucketRequest ?? []);
  if (observers.length === 0) return countBucketRequest;
  return (operation) => {
    countBucketRequest();
    const ends = observers.map((observer) => observer(operation));
    return (end) => {
      for (const ended of ends) ended(end);
    };
  };
}

/** Reports that parts make one by one. */
export function reportTo(
  all: readonly Telemetry[],
): Required<
  Pick<Telemetry, 'cacheRead' | 'cached' | 'passwordChecked' | 'pushRecorded' | 'listReindexed' | 'notified'>
> {
  return {
    cacheRead: (isHit) => {
      for (const one of all) one.cacheRead?.(isHit);
    },
    cached: (event) => {
      for (const one of all) one.cached?.(event);
    },
    passwordChecked: (outcome) => {
      for (const one of all) one.passwordChecked?.(outcome);
    },
    pushRecorded: (outcome) => {
      for (const one of all) one.pushRecorded?.(outcome);
    },
    listReindexed: (outcome) => {
      for (const one of all) one.listReindexed?.(outcome);
    },
    notified: (endpoint, report) => {
      for (const one of all) one.notified?.(endpoint, report);
    },
  };
}

/** Who reports events. */
export function eventCounters(all: readonly Telemetry[]): readonly Subscriber[] {
  return all.flatMap(({ happened }) =>
    happened === undefined
      ? []
      : {
          name: 'metrics',
          takes: () => true,
          deliver: async (notification) => {
            happened(notification);
            return await Promise.resolve({ outcome: 'taken' });
          },
        },
  );
}

/** Methods of a store that give one value after the other. */
const generators: ReadonlySet<string> = new Set(['listMultiparts', 'readParts']);

/** A store that reports its calls; the store itself if nobody wants to know. */
export function withStoreCalls(store: ObjectStore, all: readonly Telemetry[]): ObjectStore {
  const observers = all.flatMap(({ storeCall }) => storeCall ?? []);
  if (observers.length === 0) return store;
  return withObservedMethods(store, (method) =>
    generators.has(method)
      ? undefined
      : () => {
          const ends = observers.map((observer) => observer(method));
          return () => {
            for (const ended of ends) ended();
          };
        },
  );
}
