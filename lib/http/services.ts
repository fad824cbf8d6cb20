import type { IncomingMessage } from 'node:http';
import type { Logger } from 'pino';
import type { AccessLog } from '../logging/access-log.ts';
import type { AccessControl } from '../access/access.ts';
import type { RulesInForce } from '../access/policy/storage-rules.ts';
import type { TokenService } from '../access/token-service.ts';
import type { EncryptedNames } from '../registry/encrypted-names.ts';
import type { UrlSigner } from '../registry/url-signer.ts';
import type { Readiness } from '../health/readiness.ts';
import type { ConcurrencyLimit } from '../concurrency/concurrency-limit.ts';
import type { Publish } from '../registry/publisher.ts';
import type { Registry } from '../registry/interface.ts';
import type { Outbox } from '../registry/outbox/outbox.ts';
import type { Quotas } from '../registry/quotas/quotas.ts';
import type { BufferPool } from '../registry/uploads/buffer-pool.ts';
import type { Search } from '../search/search.ts';
import type { Telemetry } from '../telemetry.ts';
import type { MemoryBudget } from '../storage/memory-budget.ts';
import type { Client } from '../request-scope.ts';
import type { FormLimit } from './form-limit.ts';
import type { Limits } from './limits.ts';
import type { RequestLimits } from './request-limits.ts';
import type { Urls } from './urls.ts';

/** The dependencies of the handlers, created once per process. */
export interface Services {
  readonly registry: Registry;
  readonly access: AccessControl;
  /** Issues tokens; undefined where this registry does not. */
  readonly tokens: (() => Promise<TokenService>) | undefined;
  /** The rules for retention and quotas; undefined if there are none. */
  readonly rules: RulesInForce | undefined;
  /** What they say of quotas; undefined if there are none. */
  readonly quotas: Quotas | undefined;
  /** Where granted and denied writes are logged; undefined without access control. */
  readonly audit: Logger | undefined;
  /** Hides the name at which a page of a filtered list ends. */
  readonly cursors: EncryptedNames;
  /** Origins of web pages that may read responses; `*` for all. */
  readonly corsOrigins: readonly string[];
  /** Headers of every response, unless the registry sets them itself. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  /** What the names of repositories begin with that are caches of a host, by that host as clients name it in `?ns=`. */
  readonly namespaces: ReadonlyMap<string, string>;
  /** Before all paths but those of probes: empty, or such as `/my/prefix`. */
  readonly prefix: string;
  /** Publishes the events of a completed request. */
  readonly publish: Publish;
  /** Where changes are announced before they can be seen; undefined if no endpoint is told of any. */
  readonly outbox?: Outbox | undefined;
  readonly search: Search;
  readonly urlSigner: UrlSigner;
  readonly urls: Urls;
  readonly log: Logger;
  /** Where each request is reported, for metrics and traces. */
  readonly telemetry: readonly Telemetry[];
  /** Where each request is logged; undefined if none is. */
  readonly accessLog: AccessLog | undefined;
  readonly readiness: Readiness;
  /** Finds out which client a request came from. */
  readonly clientOf: (request: IncomingMessage) => Client;
  /** Warns of a URL that was signed with another secret. */
  readonly warnForeignSignature: (request: { readonly path: string }) => void;
  /** Whether pulls are redirected to the store. */
  readonly redirectEnabled: boolean;
  /** Whether responses can have bodies of any size. */
  readonly streams: boolean;
  /** Bytes per chunk of an upload, if the size of requests is limited. */
  readonly chunkSize: number | undefined;
  readonly limits: Limits;
  /** Concurrent request bodies. */
  readonly bodies: ConcurrencyLimit;
  /** Concurrent forms of the token service, apart from {@link bodies}: anybody may send one. */
  readonly forms: FormLimit;
  /** Concurrent requests without bodies. */
  readonly requests: RequestLimits;
  /** Concurrent checks of pushed manifests, each of which may take thousands of bucket requests and megabytes. */
  readonly manifestPushes: ConcurrencyLimit;
  /** Memory for large manifests in transfer. */
  readonly manifestMemory: BufferPool;
  /** Memory for large buffered responses. */
  readonly responseMemory: MemoryBudget;
}
