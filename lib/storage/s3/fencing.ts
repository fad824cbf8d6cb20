import {
  FenceEnded,
  StoreUnavailable,
  type Fence,
  type Fencing,
  type NewObject,
  type ObjectInfo,
} from '../store.ts';
import type { S3Bucket } from './bucket.ts';
import type { ResponseHeaders } from './client/errors.ts';
import { responseTimeMs } from './client/response-time.ts';
import { elementsOf, textOf } from './client/xml.ts';
import { deleteObjects } from './delete-objects.ts';
import { fenced, usualFence, type ChangeRequest } from './fenced.ts';
import { listObjects } from './listing.ts';

/** By how much the time of a signature is over that a bucket must refuse: less than the usual margin. */
const probedMs = 60_000;

/** The elements of a rule that have a status of their own. */
const rulePartsWithStatus =
  /<(DeleteMarkerReplication|SourceSelectionCriteria|ExistingObjectReplication|Destination)>[^]*?<\/\1>/g;

/** Fences of a bucket: changes are signed for a time that begins with the bucket's own answer which they rely on. */
export class S3Fencing implements Fencing {
  readonly #bucket: S3Bucket;
  readonly lifetimeMs: number;
  readonly #marginMs: number;

  constructor(bucket: S3Bucket) {
    this.#bucket = bucket;
    const { lifetimeMs, marginMs } = bucket.options.fence ?? usualFence;
    this.lifetimeMs = lifetimeMs;
    this.#marginMs = marginMs;
  }

  async open(prefix: string): Promise<{ readonly fence: Fence; readonly objects: readonly ObjectInfo[] }> {
    let first: ResponseHeaders | undefined;
    const onHeaders = (headers: ResponseHeaders) => {
      first ??= headers;
    };
    const objects: ObjectInfo[] = [];
    for (let startAfter = ''; ;) {
      const page = await listObjects(this.#bucket, { prefix, startAfter }, onHeaders);
      objects.push(...page.objects);
      if (page.next === undefined) break;
      startAfter = page.next;
    }
    return { fence: this.#fenceOf(prefix, first), objects };
  }

  end(): Promise<number> {
    return Promise.resolve(this.lifetimeMs + this.#marginMs);
  }

  async openDeletion({ key, bytes }: Pick<NewObject, 'key' | 'bytes'>): Promise<Fence> {
    const { headers } = await this.#bucket.send(key, this.#putRequest(key, bytes));
    return this.#fenceOf(key, headers);
  }

  /** By the time of the bucket's latest answer: the clock of this machine may have been set since. */
  endDeletion({ lastModified }: Pick<ObjectInfo, 'lastModified'>): Promise<number> {
    const nowMs = this.#bucket.clock.leastTimeMs;
    const ageMs = nowMs === undefined ? 0 : nowMs - lastModified.getTime();
    return Promise.resolve(Math.max(0, this.lifetimeMs + this.#marginMs - ageMs));
  }

  async refusal(): Promise<string | undefined> {
    const key = this.#bucket.probeKey('object');
    const { fence } = await this.open(key);
    if (this.#bucket.isSwift) return 'the listings of Swift lag behind writes, so a manifest could be missed';
    if (await this.#replicates())
      return (
        'the bucket replicates objects to another one, and what is pushed there may be seen too late here; if nothing comes back from ' +
        'there, delete the replication configuration while collections run'
      );
    return await this.#probe(key, fence);
  }

  /** Whether the bucket says that it replicates. Needs the right s3:GetReplicationConfiguration; without it, nothing can be seen. */
  async #replicates(): Promise<boolean> {
    const query = { replication: '' };
    const request = { operation: 'GetBucketReplication', method: 'GET', query } as const;
    const response = await this.#bucket.send('', request, () => undefined);
    const rules = elementsOf(response?.body.toString() ?? '', 'Rule');
    return rules.some((rule) => textOf(rule.replace(rulePartsWithStatus, ''), 'Status') === 'Enabled');
  }

  /** Sends a change in time, which must be accepted, and late ones, which must be refused. */
  async #probe(key: string, fence: Fence): Promise<string | undefined> {
    const late = { opened: new Date(fence.opened.getTime() - usualFence.lifetimeMs - probedMs) };
    await this.#probePut(key, fence);
    try {
      if (
        !(await isRefused(this.#probePut(key, late))) ||
        !(await isRefused(deleteObjects(this.#bucket, [key], { fence: late, isProbe: true })))
      )
        return 'the bucket accepts requests whose signature has expired, so a late change could land at any time';
      await deleteObjects(this.#bucket, [key], { fence, isProbe: true });
      return undefined;
    } finally {
      await deleteObjects(this.#bucket, [key], {});
    }
  }

  async #probePut(key: string, fence: Fence): Promise<void> {
    await this.#bucket.send(key, fenced(this.#putRequest(key, new Uint8Array()), fence, { isProbe: true }));
  }

  #putRequest(key: string, body: Uint8Array): ChangeRequest {
    return {
      ...this.#bucket.object('PutObject', 'PUT', key),
      headers: this.#bucket.newObjectHeaders(),
      body,
    };
  }

  #fenceOf(key: string, headers: ResponseHeaders = {}): Fence {
    const openedMs = responseTimeMs(headers);
    if (openedMs === undefined) {
      const { endpoint = 'S3' } = this.#bucket.options;
      const fault = `the answers of ${endpoint} have no date, so no change can be limited to a time`;
      throw new StoreUnavailable(key, `${fault}; let its proxy pass on the header Date`);
    }
    return { opened: new Date(openedMs) };
  }
}

async function isRefused(change: Promise<unknown>): Promise<boolean> {
  try {
    await change;
    return false;
  } catch (error) {
    if (error instanceof FenceEnded) return true;
    throw error;
  }
}
