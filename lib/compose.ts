import type { Config, Program } from './config/config.ts';
import type { Services } from './http/services.ts';
import { BufferPool } from './registry/uploads/buffer-pool.ts';
import { UrlSigner } from './registry/url-signer.ts';
import { ConcurrencyLimit } from './concurrency/concurrency-limit.ts';
import { probeKey } from './registry/layout.ts';
import { createPublisher } from './registry/events.ts';
import type { Registry, RegistryLister } from './registry/interface.ts';
import { createRegistry } from './registry/registry.ts';
import { readOnly, withoutDeletes } from './registry/wrappers/read-only.ts';
import type { BucketConfig, StorageConfig } from './config/storage.ts';
import { MemoryBudget } from './storage/memory-budget.ts';
import type { ObjectStore, OnDamaged } from './storage/store.ts';
import { damageLog } from './damage-log.ts';
import { functionLimits, usualLimits } from './http/limits.ts';
import { createLogger, throttledWarning } from './logging.ts';
import { RequestLimits } from './http/request-limits.ts';
import { Search } from './search/search.ts';
import { recordPushes } from './search/record-pushes.ts';
import { BucketSearch } from './search/bucket-search.ts';
import type { SearchBackend } from './search/search-backend.ts';
import type { SearchConfig } from './config/search.ts';
import { Urls } from './http/urls.ts';

/**
 * The wiring: every part made of its settings, in one place. A server looks at once whether its storage is right; a
 * function has no time for that, and answers 503 at its first request if it is not.
 * @throws StoreUnavailable
 */
export async function createServices(
  program: Program,
  config: Config,
  limits = program === 'functions' ? functionLimits : usualLimits,
): Promise<Services> {
  const log = createLogger(config.logLevel);
  const warn = (message: string) => {
    log.warn(message);
  };
  const onDamaged = damageLog(log);
  const check = program !== 'functions';
  const store = await openStore(config.storage, { check, readOnly: config.readOnly, warn, onDamaged });
  const registry = restrict(createRegistry(store, config), config);
  const search = createSearch(config.search, registry);
  return {
    registry,
    search,
    publish: createPublisher(
      [
        recordPushes(search, {
          timeoutMs: limits.recordTimeoutMs,
          warn: (fields, message) => {
            log.warn(fields, message);
          },
        }),
      ],
      (error) => {
        log.error({ err: error }, 'an event was not taken in');
      },
    ),
    urlSigner: new UrlSigner(config.secrets),
    urls: new Urls(program, config),
    log,
    warnOfForeign: throttledWarning(log, foreignSignature),
    redirectEnabled: config.redirectEnabled,
    streams: program !== 'functions',
    chunkSize: program === 'functions' && config.dataPlane === undefined ? functionChunk : undefined,
    limits,
    bodies: new ConcurrencyLimit(config.maxUploads, {
      queueLimit: waitingBodies,
      timeoutMs: limits.queueTimeoutMs,
    }),
    requests: new RequestLimits(limits),
    manifestPushes: new ConcurrencyLimit(parallelManifests, { timeoutMs: limits.queueTimeoutMs }),
    manifestMemory: new BufferPool({ bytes: manifestBytes, waitMs: limits.queueTimeoutMs }),
    answerMemory: new MemoryBudget(answerBytes),
  };
}

/** The wrappers that settings ask for. */
function restrict(registry: Registry, config: Config): Registry {
  if (config.readOnly) return readOnly(registry);
  return config.deleteEnabled ? registry : withoutDeletes(registry);
}

const foreignSignature =
  'a URL has a signature of another secret: REGISTRY_HTTP_SECRET must be the same for all instances and both planes, and to ' +
  'change it each must know the new one, as REGISTRY_HTTP_SECRET_PREVIOUS, before any signs with it; or the URL was altered';

/** Bodies that wait for a place. Some 100 KB of each has come already. */
const waitingBodies = 500;

/** Manifests that are checked and stored at once. */
const parallelManifests = 8;

/** Bytes of large manifests that come, and of large answers. */
const manifestBytes = 16 * 1024 * 1024;
const answerBytes = 32 * 1024 * 1024;

/** Bytes of a chunk that fits a Lambda function's 6 MB of JSON and base64, with some room. */
const functionChunk = 4 * 1024 * 1024;

interface OpenOptions {
  /** Whether it is asked at once if all is right. */
  readonly check: boolean;
  /** Whether the check must not write. */
  readonly readOnly?: boolean;
  /** Is told of what is wrong and does not keep the store from working. */
  readonly warn?: (message: string) => void;
  readonly onDamaged?: OnDamaged;
}

/**
 * Opens the store that is configured.
 * @throws StoreUnavailable when `check` is asked for and the storage does not answer as it should
 */
export async function openStore(
  storage: StorageConfig,
  { check, readOnly = false, warn, onDamaged }: OpenOptions,
): Promise<ObjectStore> {
  if (storage.kind === 'filesystem') {
    const { FilesystemStore } = await import('./storage/filesystem/store.ts');
    return await FilesystemStore.open(storage.rootDirectory, { warn, onDamaged });
  }
  const store = await openBucket(storage, warn);
  if (onDamaged !== undefined) store.onDamaged = onDamaged;
  if (check) await store.check({ readOnly });
  return store;
}

/** Each store is loaded only where it is used. */
async function openBucket(
  storage: BucketConfig,
  warn: OpenOptions['warn'],
): Promise<ObjectStore & { check(options: { readOnly: boolean }): Promise<void> }> {
  if (storage.kind === 's3')
    return new (await import('./storage/s3/store.ts')).S3Store(storage, warn, probeKey);
  return new (await import('./storage/scs/store.ts')).ScsStore(storage);
}

/** What the jobs work with that run by a schedule or by hand: a purge of uploads, a reindex. */
export interface Maintenance {
  readonly store: ObjectStore;
  readonly registry: Registry;
  readonly search: Search;
}

/** The wiring of jobs. Whether the storage is right they soon see themselves. */
export async function createMaintenance(
  { storage, search }: Pick<Config, 'storage' | 'search'>,
  onDamaged: OnDamaged,
): Promise<Maintenance> {
  const store = await openStore(storage, { check: false, onDamaged });
  const registry = createRegistry(store);
  return { store, registry, search: createSearch(search, registry) };
}

/** The list of repositories that is configured. Nothing is opened before it is asked for. */
function createSearch(config: SearchConfig, registry: Pick<RegistryLister, 'catalog'>): Search {
  return new Search(async () => await openSearch(config, registry.catalog), registry);
}

/** The client of MySQL is loaded only where it is used. */
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
