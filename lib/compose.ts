import type { Logger } from 'pino';
import manifest from '../package.json' with { type: 'json' };
import { isFurtherWorker, type Config, type Program } from './config/config.ts';
import { describeConfig } from './config/describe.ts';
import { open } from './access/callers.ts';
import type { RulesInForce } from './access/policy/storage-rules.ts';
import { createAccess } from './compose-access.ts';
import type { Events, EventsConfig } from './compose-events.ts';
import { openRules } from './compose-rules.ts';
import type { CacheWiring } from './compose-cache.ts';
import type { Services } from './http/services.ts';
import { EncryptedNames } from './registry/encrypted-names.ts';
import { BufferPool } from './registry/uploads/buffer-pool.ts';
import { UrlSigner } from './registry/url-signer.ts';
import { share } from './concurrency/share.ts';
import { ConcurrencyLimit } from './concurrency/concurrency-limit.ts';
import { probeKey } from './registry/layout.ts';
import { Collections } from './registry/collection/collections.ts';
import type { Report } from './notifications/report.ts';
import { createPublisher } from './registry/publisher.ts';
import { sourceOf } from './event-source.ts';
import type { Outbox } from './registry/outbox/outbox.ts';
import type { Registry, RegistryLister } from './registry/interface.ts';
import { Quotas } from './registry/quotas/quotas.ts';
import { createRegistry } from './registry/registry.ts';
import { readOnly, withoutDeletes } from './registry/wrappers/read-only.ts';
import type { BucketConfig, StorageConfig } from './config/storage.ts';
import type { ObserveBucketRequest } from './storage/bucket-requests.ts';
import { observedStore } from './storage/observed-store.ts';
import type { FenceOptions } from './storage/s3/bucket.ts';
import {
  eventCounters,
  observeBucketRequests,
  reportTo,
  withStoreCalls,
  type Telemetry,
} from './telemetry.ts';
import { MemoryBudget } from './storage/memory-budget.ts';
import type { ObjectStore, OnDamaged } from './storage/store.ts';
import { damageLog } from './damage-log.ts';
import { createChecks } from './health/checks.ts';
import { Readiness } from './health/readiness.ts';
import { createClientOf } from './http/client.ts';
import { FormLimit } from './http/form-limit.ts';
import { functionLimits, usualLimits } from './http/limits.ts';
import { createAccessLog } from './logging/access-log.ts';
import { createLogger, throttledWarning } from './logging/logger.ts';
import { RequestLimits } from './http/request-limits.ts';
import { Search, type OnReindexed } from './search/search.ts';
import { recordPulls } from './retention/record-pulls.ts';
import { recordPushes } from './search/record-pushes.ts';
import { BucketSearch } from './search/bucket-search.ts';
import type { SearchBackend } from './search/search-backend.ts';
import type { SearchConfig } from './config/search.ts';
import { Urls } from './http/urls.ts';

/**
 * Wires all parts from the settings. A server checks its storage at start. A function skips that to start faster, and
 * responds with 503 if the storage is unavailable.
 * @throws StoreUnavailable
 */
export async function createServices(
  program: Program,
  config: Config,
  limits = program === 'functions' ? functionLimits : usualLimits,
  telemetry: readonly Telemetry[] = [],
): Promise<Services & { readonly events: Events | undefined }> {
  const reports = reportTo(telemetry);
  const log = createLogger(config.log);
  // The first worker logs what concerns the start.
  if (isFurtherWorker(config)) log.level = 'error';
  log.info({ version: manifest.version, program, ...describeConfig(config) }, 'stowage starts');
  const warn = (message: string) => {
    log.warn(message);
  };
  const onDamaged = damageLog(log);
  const part = (total: number, least?: number) => share(total, config.workers ?? 1, least);
  const check = program !== 'functions';
  const opened = await openStore(config.storage, {
    check,
    readOnly: config.readOnly,
    warn,
    onDamaged,
    observe: observeBucketRequests(telemetry),
    startsOften: program === 'functions',
    workers: config.workers,
    fence: config.collection.fence,
  });
  const store = withStoreCalls(opened, telemetry);
  const collections = new Collections(store, config);
  const whole = createRegistry(store, { ...config, collections, onCacheRead: reports.cacheRead });
  const caches = {
    ...{ store, collections, log, observe: reports.cached },
    workers: config.workers ?? 1,
    isWorker: config.workerNumber !== undefined,
  };
  const registry = restrict(await withCaches(program, whole, config, caches), config);
  const search = createSearch(config.search, registry, reports.listReindexed);
  const events = await openEvents(program, config, store, { log, report: reports.notified });
  for (const warning of config.warnings) warn(warning);
  const { access, tokens, policies } = await createAccess({
    program,
    config,
    store,
    log,
    onPasswordChecked: reports.passwordChecked,
  });
  const rules = await openRules(config, store, {
    policies,
    onProblem: (message) => {
      log.error(message);
    },
    onLoaded: (message) => {
      log.info(message);
    },
  });
  return {
    registry,
    access,
    tokens,
    rules,
    quotas: createQuotas(program, store, rules),
    // Independent of the log level.
    // A data plane learns from signed URLs whether there is access control.
    audit:
      access === open && program !== 'data-plane' ? undefined : log.child({ audit: true }, { level: 'info' }),
    cursors: new EncryptedNames(config.secrets, 'stowage catalog cursor', { length: 255 }),
    corsOrigins: config.corsOrigins,
    headers: config.headers,
    namespaces: new Map(config.upstreams.map(({ namespace, prefix }) => [namespace, prefix])),
    prefix: config.prefix,
    outbox: events?.outbox,
    events,
    search,
    publish: createPublisher(
      [
        recordPushes(search, {
          timeoutMs: limits.recordTimeoutMs,
          warn: (fields, message) => {
            log.warn(fields, message);
          },
          onRecorded: config.search.kind === 'bucket' ? undefined : reports.pushRecorded,
        }),
        ...(rules === undefined || config.readOnly
          ? []
          : [
              recordPulls(store, {
                rules,
                waits: program === 'functions',
                timeoutMs: limits.recordTimeoutMs,
                warn: (fields, message) => {
                  log.warn(fields, message);
                },
              }),
            ]),
        ...(events?.onPulls === undefined ? [] : [events.onPulls]),
        ...eventCounters(telemetry),
      ],
      sourceOf(program, config.address),
      (subscriber, error) => {
        log.error({ err: error, subscriber }, 'a subscriber failed');
      },
    ),
    urlSigner: new UrlSigner(config.secrets),
    urls: new Urls(program, config),
    log,
    telemetry,
    // A function is frozen after its response.
    accessLog: createAccessLog(config.log, program !== 'functions'),
    readiness: new Readiness(
      createChecks(config.health, store),
      program === 'functions' ? 'on-request' : 'background',
      log,
    ),
    clientOf: createClientOf({
      subnets: config.trustedProxies,
      behindGateway: program === 'functions',
    }),
    warnForeignSignature: throttledWarning(log, foreignSignature),
    redirectEnabled: config.redirectEnabled,
    streams: program !== 'functions',
    chunkSize: program === 'functions' && config.dataPlane === undefined ? functionChunkBytes : undefined,
    limits,
    bodies: new ConcurrencyLimit(part(config.maxUploads), {
      queueLimit: part(queuedBodies),
      timeoutMs: limits.queueTimeoutMs,
    }),
    forms: new FormLimit({ timeoutMs: limits.queueTimeoutMs, workers: config.workers }),
    requests: new RequestLimits(limits),
    manifestPushes: new ConcurrencyLimit(part(parallelManifests), { timeoutMs: limits.queueTimeoutMs }),
    manifestMemory: new BufferPool({ bytes: part(manifestBytes), waitMs: limits.queueTimeoutMs }),
    responseMemory: new MemoryBudget(part(responseBytes, leastResponseBytes)),
  };
}

/** Loads what keeps events on demand. @returns undefined if nobody is told of any, or nothing is written */
async function openEvents(
  program: Program,
  config: EventsConfig & Pick<Config, 'readOnly'>,
  store: ObjectStore,
  options: { readonly log: Logger; readonly report: Report },
): Promise<Events | undefined> {
  if (config.notifications.endpoints.length === 0 || config.readOnly) return undefined;
  const { createEvents } = await import('./compose-events.ts');
  return await createEvents(program, config, store, options);
}

/** A data plane does not read the rules: the process that started an upload has, and its URL names the quota. */
function createQuotas(
  program: Program,
  store: ObjectStore,
  rules: RulesInForce | undefined,
): Quotas | undefined {
  if (program === 'data-plane') return new Quotas(store, undefined);
  return rules && new Quotas(store, rules);
}

/** Loads the client of other registries on demand. */
async function withCaches(
  program: Program,
  registry: Registry,
  config: Pick<Config, 'upstreams' | 'copyFunction' | 'dataPlane' | 'redirectEnabled' | 'secrets'>,
  parts: Omit<CacheWiring, 'secret'>,
): Promise<Registry> {
  const { upstreams } = config;
  if (upstreams.length === 0) return registry;
  const { withUpstreams } = await import('./compose-cache.ts');
  const wiring = { ...parts, secret: config.secrets[0] ?? '' };
  if (program !== 'functions') return withUpstreams(registry, upstreams, wiring);
  const { functionBlobs } = await import('./compose-function-cache.ts');
  return withUpstreams(registry, upstreams, { ...wiring, blobs: functionBlobs(registry, config, wiring) });
}

/** Applies the wrappers that are configured. */
function restrict(registry: Registry, config: Config): Registry {
  if (config.readOnly) return readOnly(registry);
  return config.deleteEnabled ? registry : withoutDeletes(registry);
}

const foreignSignature =
  'a URL is signed with another secret, or was altered: REGISTRY_HTTP_SECRET must be the same for all instances and both ' +
  'planes; to rotate it, set the new one as REGISTRY_HTTP_SECRET_PREVIOUS everywhere before any instance signs with it';

/** Request bodies in the queue. Each holds some 100 KB. */
const queuedBodies = 500;

/** Concurrent pushes of manifests. */
const parallelManifests = 8;

/** Memory for large manifests in transfer, and for large responses. */
const manifestBytes = 16 * 1024 * 1024;
const responseBytes = 32 * 1024 * 1024;

/** Two manifests of the largest size. */
const leastResponseBytes = 8 * 1024 * 1024;

/** Fits into the 6 MB of JSON and base64 that Lambda allows. */
const functionChunkBytes = 4 * 1024 * 1024;

interface OpenOptions {
  /** Whether the settings are checked at once. */
  readonly check: boolean;
  /** Whether nothing may be written. */
  readonly readOnly?: boolean;
  /** Logs problems that do not prevent use. */
  readonly warn?: (message: string) => void;
  readonly onDamaged?: OnDamaged;
  /** Sees each request to a bucket, or call of a folder. */
  readonly observe?: ObserveBucketRequest;
  /** Whether the process may end after a few requests. */
  readonly startsOften?: boolean;
  /** Processes that share the limits of a store. */
  readonly workers?: number | undefined;
  /** How long changes can land in a bucket of S3. */
  readonly fence?: FenceOptions | undefined;
}

/** Opens the configured store. @throws StoreUnavailable if `check` finds a problem */
export async function openStore(storage: StorageConfig, options: OpenOptions): Promise<ObjectStore> {
  const { check, readOnly = false, warn, onDamaged, observe, workers } = options;
  if (storage.kind === 'filesystem') {
    const { FilesystemStore } = await import('./storage/filesystem/store.ts');
    const folder = await FilesystemStore.open(storage.rootDirectory, { warn, onDamaged, readOnly, workers });
    return observe === undefined ? folder : observedStore(folder, observe);
  }
  const store = await openBucket(storage, options);
  if (onDamaged !== undefined) store.onDamaged = onDamaged;
  if (check) await store.check({ readOnly });
  return store;
}

/** Loads the client of the store on demand. */
async function openBucket(
  storage: BucketConfig,
  { warn, observe, startsOften = false, workers, fence }: OpenOptions,
): Promise<ObjectStore & { check(options: { readOnly: boolean }): Promise<void> }> {
  if (storage.kind === 's3')
    return new (await import('./storage/s3/store.ts')).S3Store(
      { ...storage, startsOften, fence },
      warn,
      probeKey,
      observe,
      workers,
    );
  return new (await import('./storage/scs/store.ts')).ScsStore(storage, observe, workers);
}

/** The dependencies of jobs, such as the purge of uploads. */
export interface Maintenance {
  readonly store: ObjectStore;
  readonly registry: Registry;
  readonly search: Search;
  /** Undefined if nobody is told of what the job writes. */
  readonly outbox: Outbox | undefined;
}

/**
 * Wires the jobs.
 * @param check for those that need to know whether the bucket honours conditions; others list it anyway
 * @param announces whether the job makes changes that endpoints are told of
 */
export async function createMaintenance(
  config: Pick<Config, 'storage' | 'search' | 'readOnly' | 'collection' | 'notifications' | 'address'>,
  onDamaged: OnDamaged,
  { check = false, announces = false }: { readonly check?: boolean; readonly announces?: boolean } = {},
): Promise<Maintenance> {
  const { storage, search, readOnly, collection, notifications } = config;
  const store = await openStore(storage, {
    check,
    readOnly,
    onDamaged,
    startsOften: true,
    fence: collection.fence,
  });
  const registry = createRegistry(store);
  const isTold = announces && notifications.endpoints.length > 0 && !readOnly;
  const outbox = isTold
    ? (await import('./compose-events.ts')).createOutbox('maintenance', config, store)
    : undefined;
  return { store, registry, search: createSearch(search, registry), outbox };
}

function createSearch(
  config: SearchConfig,
  registry: Pick<RegistryLister, 'catalog'>,
  onReindexed?: OnReindexed,
): Search {
  return new Search(async () => await openSearch(config, registry.catalog), registry, onReindexed);
}

/** Loads the client of MySQL on demand. */
async function openSearch(config: SearchConfig, catalog: RegistryLister['catalog']): Promise<SearchBackend> {
  switch (config.kind) {
    case 'bucket':
      return new BucketSearch(catalog);
    case 'mysql':
      return new (await import('./search/mysql/search.ts')).MysqlSearch(config.mysql);
    case 'local':
      return await (await import('./search/file/local-file.ts')).LocalFile.open(config.path);
  }
}
