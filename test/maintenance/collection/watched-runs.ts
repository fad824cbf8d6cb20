import { stowage, type Ended } from '../../soak/collection/commands.ts';
import { bucketProxy, type BucketProxy, type BucketRequest } from '../../servers/bucket-proxy.ts';
import { proxied, type Buckets, type S3Kind } from '../../servers/buckets.ts';
import type { TestStorage } from '../../servers/storage.ts';
import { shortFence } from './collecting.ts';

/** What happens to a request of a run, and to the run. */
export type Watch = (
  request: BucketRequest,
  index: number,
  run: RunProcess,
) => ReturnType<BucketProxy['intercept']>;

/** The process of a run. */
export interface RunProcess {
  readonly signal: (signal: NodeJS.Signals) => void;
  /** Resolves once it has ended. */
  readonly ended: Promise<unknown>;
}

export interface WatchedRun extends Ended {
  readonly requests: readonly BucketRequest[];
}

/** Runs of `stowage gc` as processes of their own, each on a bucket behind one proxy. */
export class WatchedRuns {
  readonly #kind: S3Kind;
  readonly #buckets: Buckets;
  readonly #proxy: BucketProxy;
  readonly #watches = new Map<string, (request: BucketRequest) => ReturnType<Watch>>();

  private constructor(kind: S3Kind, buckets: Buckets, proxy: BucketProxy) {
    this.#kind = kind;
    this.#buckets = buckets;
    this.#proxy = proxy;
    proxy.intercept = (request) => this.#watches.get(request.bucket)?.(request) ?? 'pass';
  }

  static async start(kind: S3Kind): Promise<WatchedRuns> {
    const buckets = await kind.start();
    return new WatchedRuns(kind, buckets, await bucketProxy(buckets.endpoint));
  }

  async newBucket(): Promise<TestStorage> {
    return await this.#buckets.newBucket({ ...shortFence, REGISTRY_GC_DELAY: '0s' });
  }

  /** A run of all that is due, of what is a second old. */
  async run(storage: TestStorage, watch: Watch = () => 'pass'): Promise<WatchedRun> {
    const bucket = storage.settings['REGISTRY_STORAGE_S3_BUCKET'] ?? '';
    const requests: BucketRequest[] = [];
    const args = ['gc', '--exclusive', '--delete-untagged', '--older-than=0h', '--force', '--json'];
    const settings = proxied(this.#kind, storage, this.#proxy);
    const run = Promise.withResolvers<undefined>();
    try {
      const ended = await stowage(args, settings, (child) => {
        const process: RunProcess = { signal: (signal) => child.kill(signal), ended: run.promise };
        this.#watches.set(bucket, (request) => watch(request, requests.push(request) - 1, process));
        child.once('exit', () => {
          run.resolve(undefined);
        });
      });
      return { ...ended, requests };
    } finally {
      this.#watches.delete(bucket);
    }
  }

  async stop(): Promise<void> {
    await this.#proxy.stop();
    await this.#buckets.stop();
  }
}

/** As a message names it. */
export function textOf({ operation, key, query }: BucketRequest): string {
  return `${operation} ${key === '' ? (query.get('prefix') ?? '') : key}`;
}
