import type { Logger } from 'pino';
import type { Config, Program } from '../lib/config.ts';
import { BufferPool } from '../lib/registry/buffer-pool.ts';
import { Capabilities } from '../lib/registry/capabilities.ts';
import { ConcurrencyLimit } from '../lib/registry/concurrency-limit.ts';
import { createRegistry, type Registry } from '../lib/registry/registry.ts';
import type { BucketConfig, StorageConfig } from '../lib/storage-config.ts';
import { FilesystemStore } from '../lib/storage/filesystem.ts';
import { MemoryBudget } from '../lib/storage/memory-budget.ts';
import type { ObjectStore, OnDamaged } from '../lib/storage/store.ts';
import { damageLog } from './damage.ts';
import { functionLimits, usualLimits, type Limits } from './limits.ts';
import { createLogger, rareWarning } from './logging.ts';
import { RequestLimits } from './request-limits.ts';
import { Search } from './search-backend.ts';
import { Urls } from './urls.ts';

/** What the operations work with. Made once per process and passed in. */
export interface Services {
  readonly registry: Registry;
  readonly search: Search;
  readonly capabilities: Capabilities;
  readonly urls: Urls;
  readonly log: Logger;
  /** Tells of a URL with a signature that is not of this process's secrets. */
  readonly warnOfForeign: (request: { readonly path: string }) => void;
  readonly deleteEnabled: boolean;
  /** Whether pulls are sent to the store's own URLs. */
  readonly redirectEnabled: boolean;
  /** Whether this program can answer with a body of any size. */
  readonly streams: boolean;
  /** Bytes clients should send in a chunk of an upload, where the size of a request is limited. */
  readonly chunkSize: number | undefined;
  readonly limits: Limits;
  /** For bodies of requests, which may come slowly. */
  readonly bodies: ConcurrencyLimit;
  /** For requests without bodies. */
  readonly requests: RequestLimits;
  /** For what a manifest that has come takes: its checks are thousands of requests to a bucket, and its fields megabytes. */
  readonly manifestPushes: ConcurrencyLimit;
  /** For the bytes of large manifests that come. */
  readonly manifestMemory: BufferPool;
  /** For answers that are whole in memory. */
  readonly answerMemory: MemoryBudget;
}

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
  const store = await openStore(config.storage, { check: program !== 'functions', warn, onDamaged });
  const registry = createRegistry(store, config);
  return {
    registry,
    search: new Search(config.search, registry),
    capabilities: new Capabilities(config.secrets),
    urls: new Urls(program, config),
    log,
    warnOfForeign: rareWarning(log, foreignSignature),
    deleteEnabled: config.deleteEnabled,
    redirectEnabled: config.redirectEnabled,
    streams: program !== 'functions',
    chunkSize: program === 'functions' && config.dataPlane === undefined ? functionChunk : undefined,
    limits,
    bodies: new ConcurrencyLimit(config.maxUploads, { queueLimit: waitingBodies, timeoutMs: limits.queue }),
    requests: new RequestLimits(limits),
    manifestPushes: new ConcurrencyLimit(parallelManifests, { timeoutMs: limits.queue }),
    manifestMemory: new BufferPool({ bytes: manifestBytes, waitMs: limits.queue }),
    answerMemory: new MemoryBudget(answerBytes),
  };
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
  { check, warn, onDamaged }: OpenOptions,
): Promise<ObjectStore> {
  if (storage.kind === 'filesystem')
    return await FilesystemStore.open(storage.rootDirectory, { warn, onDamaged });
  const store = await openBucket(storage, warn);
  if (onDamaged !== undefined) store.onDamaged = onDamaged;
  if (check) await store.check();
  return store;
}

/** The SDK and the client are loaded only where they are used. */
async function openBucket(
  storage: BucketConfig,
  warn: OpenOptions['warn'],
): Promise<ObjectStore & { check(): Promise<void> }> {
  if (storage.kind === 's3') return new (await import('../lib/storage/s3.ts')).S3Store(storage, warn);
  return new (await import('../lib/storage/scs.ts')).ScsStore(storage);
}
