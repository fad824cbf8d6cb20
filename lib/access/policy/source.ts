import { createHash } from 'node:crypto';
import { withTimeout } from '../../concurrency/with-timeout.ts';
import { withoutDeadline } from '../../storage/deadline.ts';
import type { ObjectReader } from '../../storage/store.ts';
import { AccessUnavailable } from '../unavailable.ts';
import { fileOrigin, NoPolicy, objectOrigin, type Origin } from './origins.ts';
import { parsePolicy, parseStorageRules } from './parse.ts';
import type { Policy } from './policy.ts';
import { PolicyError } from './policy-error.ts';
import type { StorageRules } from './storage-rules.ts';

/** Milliseconds until a read times out. Then the last valid policy is used. */
const readTimeoutMs = 5000;

/** Milliseconds between reads without a valid policy. */
const retryMs = 2000;

export interface PolicySourceOptions {
  /** Called once for each problem: the policy is invalid, missing or cannot be read. */
  readonly onProblem?: (message: string) => void;
  /** Called when a policy comes into force, and when it can be read again. */
  readonly onLoaded?: (message: string) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  readonly readTimeoutMs?: number;
}

/** What a policy file is for. */
interface Kind<Content> {
  /** @throws PolicyError */
  parse(text: string): Content;
  /** For the log: `3 rules`. */
  count(content: Content): string;
  /** What happens while there is none that is valid. */
  readonly without: string;
  /** For clients, while there is none that is valid. */
  readonly unavailable: string;
}

const accessKind: Kind<Policy> = {
  parse: parsePolicy,
  count: ({ content }) => plural(content.rules.length, 'rule'),
  without: 'every request is denied until it is fixed',
  unavailable: 'the registry has no valid access policy; its log says why',
};

const storageKind: Kind<StorageRules> = {
  parse: parseStorageRules,
  count: ({ retention, quotas }) =>
    `${plural(retention.length, 'rule')} for retention, ${plural(quotas.length, 'quota')}`,
  without: 'no tag is removed until it is fixed',
  unavailable: 'the registry has no valid rules for retention and quotas; its log says why',
};

/**
 * The content of a policy file in force. It is checked for changes at most every 30 s in a bucket, and every second in a file;
 * concurrent callers share one check. If the policy becomes invalid, missing or unreachable, the last valid one stays in force.
 */
class WatchedPolicy<Content> {
  readonly #kind: Kind<Content>;
  readonly #origin: Origin;
  readonly #options: PolicySourceOptions;
  readonly #now: () => number;
  #policy: Content | undefined;
  /** SHA-256 of the last text, valid or not. */
  #hash: string | undefined;
  #version: string | undefined;
  /** The faults of the last text. */
  #invalid: PolicyError | undefined;
  /** The last reported problem. */
  #reported: string | undefined;
  #failure: Error | undefined;
  #checkedAt = -Infinity;
  #refreshing: Promise<void> | undefined;

  constructor(kind: Kind<Content>, origin: Origin, options: PolicySourceOptions) {
    this.#kind = kind;
    this.#origin = origin;
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** @throws RegistryError UNAVAILABLE if there is no valid policy; its cause is the reason */
  async current(): Promise<Content> {
    if (this.#refreshing === undefined && this.#isDue())
      this.#refreshing = this.#refresh().finally(() => {
        this.#refreshing = undefined;
      });
    await this.#refreshing;
    if (this.#policy !== undefined) return this.#policy;
    throw new AccessUnavailable(this.#kind.unavailable, this.#failure);
  }

  #isDue(): boolean {
    const age = this.#now() - this.#checkedAt;
    // The clock may have been set back.
    return age < 0 || age >= (this.#policy === undefined ? retryMs : this.#origin.refreshMs);
  }

  /** Never rejects. */
  async #refresh(): Promise<void> {
    this.#checkedAt = this.#now();
    try {
      // The deadline of one request must not abort a read that others share.
      const reading = withoutDeadline(async () => await this.#origin.read(this.#version));
      const milliseconds = this.#options.readTimeoutMs ?? readTimeoutMs;
      const content = await withTimeout(reading, milliseconds, () => new Error('reading it timed out'));
      if (content !== undefined) this.#load(content.bytes, content.version);
      this.#report(this.#invalid);
    } catch (error) {
      this.#report(error instanceof Error ? error : new Error(String(error)));
    }
  }

  /** Parses a text, and puts it into force if it is valid. */
  #load(bytes: Uint8Array, version: string | undefined): void {
    const hash = createHash('sha256').update(bytes).digest('hex');
    if (hash !== this.#hash) {
      try {
        this.#policy = this.#kind.parse(decode(bytes));
        this.#invalid = undefined;
        this.#reported = undefined;
        this.#loaded(
          `the policy in ${this.#origin.name} is in force: ${this.#kind.count(this.#policy)}, SHA-256 ${hash}`,
        );
      } catch (error) {
        if (!(error instanceof PolicyError)) throw error;
        this.#invalid = error;
      }
      this.#hash = hash;
    }
    this.#version = version;
  }

  #report(failure: Error | undefined): void {
    this.#failure =
      failure === undefined ? undefined : new Error(this.#describe(failure), { cause: failure });
    // One outage has many messages, so only its kind is compared.
    const kind = failure instanceof PolicyError ? failure.message : failure && stateOf(failure);
    if (kind === this.#reported) return;
    this.#reported = kind;
    if (this.#failure !== undefined) this.#options.onProblem?.(this.#failure.message);
    else this.#loaded(`the policy in ${this.#origin.name} can be read again`);
  }

  #loaded(message: string): void {
    this.#options.onLoaded?.(message);
  }

  #describe(failure: Error): string {
    const effect = this.#policy === undefined ? this.#kind.without : 'the last valid one stays in force';
    return `the policy in ${this.#origin.name} ${stateOf(failure)}; ${effect}: ${failure.message}`;
  }
}

/** The access policy in force. */
export class PolicySource extends WatchedPolicy<Policy> {
  static file(path: string, options: PolicySourceOptions = {}): PolicySource {
    return new PolicySource(accessKind, fileOrigin(path), options);
  }

  /** An object of a bucket, which the registry reads and never writes. */
  static object(store: Readable, key: string, options: PolicySourceOptions = {}): PolicySource {
    return new PolicySource(accessKind, objectOrigin(store, key), options);
  }
}

/** The rules in force of a policy file that says nothing about access. */
export class StorageRulesSource extends WatchedPolicy<StorageRules> {
  static file(path: string, options: PolicySourceOptions = {}): StorageRulesSource {
    return new StorageRulesSource(storageKind, fileOrigin(path), options);
  }

  /** An object of a bucket, which the registry reads and never writes. */
  static object(store: Readable, key: string, options: PolicySourceOptions = {}): StorageRulesSource {
    return new StorageRulesSource(storageKind, objectOrigin(store, key), options);
  }
}

type Readable = Pick<ObjectReader, 'head' | 'read'>;

function stateOf(failure: Error): string {
  if (failure instanceof PolicyError) return 'is invalid';
  return failure instanceof NoPolicy ? 'is missing' : 'cannot be read';
}

/** @throws PolicyError */
function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new PolicyError([{ line: 1, message: 'the policy is not UTF-8 text' }]);
  }
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
