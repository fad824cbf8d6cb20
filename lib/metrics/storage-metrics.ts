import { Counter, Histogram, type Registry } from 'prom-client';
import { outcomeOf } from '../storage/bucket-requests.ts';
import type { Telemetry } from '../telemetry.ts';

/** Distribution's names of what a store does, and names of the same kind for the rest. */
const actions: Readonly<Record<string, string>> = {
  head: 'Stat',
  open: 'Reader',
  read: 'GetContent',
  put: 'PutContent',
  putInOrder: 'PutContent',
  move: 'Move',
  delete: 'Delete',
  list: 'List',
  signedUrl: 'RedirectURL',
  concatenate: 'Concatenate',
  createMultipart: 'CreateMultipart',
  uploadPart: 'UploadPart',
  openPart: 'OpenPart',
  completeMultipart: 'CompleteMultipart',
  abortMultipart: 'AbortMultipart',
  'fencing.open': 'List',
  'fencing.openDeletion': 'PutContent',
};

/** Distribution's names of its storage drivers. */
const drivers = { filesystem: 'filesystem', s3: 's3aws', scs: 'scs' } as const;

export type StoreKind = keyof typeof drivers;

/** prom-client's defaults, which are distribution's. */
const secondsBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Metrics of the store, of the requests to its bucket, and of the cache of manifests. */
export function storageMetrics(registry: Registry, kind: StoreKind): Telemetry {
  return { ...storeCalls(registry, kind), ...bucketRequests(registry), ...cacheReads(registry) };
}

function storeCalls(registry: Registry, kind: StoreKind): Telemetry {
  const seconds = new Histogram({
    name: 'registry_storage_action_seconds',
    help: 'Seconds that an action of the store takes, with all its bucket requests and their retries.',
    labelNames: ['driver', 'action'],
    buckets: secondsBuckets,
    registers: [registry],
  });
  const driver = drivers[kind];
  return {
    storeCall: (method) => {
      const action = actions[method];
      const start = performance.now();
      return () => {
        if (action !== undefined) seconds.observe({ driver, action }, (performance.now() - start) / 1000);
      };
    },
  };
}

function bucketRequests(registry: Registry): Telemetry {
  const registers = [registry];
  const requests = new Counter({
    name: 'stowage_bucket_requests_total',
    help: 'HTTP requests to the bucket, with retries, or calls of a folder, by operation of S3 and outcome.',
    labelNames: ['operation', 'outcome'],
    registers,
  });
  const seconds = new Histogram({
    name: 'stowage_bucket_request_duration_seconds',
    help: 'Seconds from a request to the bucket to the headers of its response.',
    labelNames: ['operation'],
    buckets: secondsBuckets,
    registers,
  });
  return {
    bucketRequest: (operation) => {
      const start = performance.now();
      return (end) => {
        requests.inc({ operation, outcome: outcomeOf(end) });
        seconds.observe({ operation }, (performance.now() - start) / 1000);
      };
    },
  };
}

function cacheReads(registry: Registry): Telemetry {
  const counter = (name: string, help: string) =>
    new Counter({ name: `registry_storage_cache_${name}_total`, help, registers: [registry] });
  const reads = counter('requests', 'Manifests that were looked up in the cache.');
  const hits = counter('hits', 'Manifests that were found in the cache.');
  counter('errors', 'Failures of the cache. It is in memory, so there are none.');
  return {
    cacheRead: (isHit) => {
      reads.inc();
      if (isHit) hits.inc();
    },
  };
}
