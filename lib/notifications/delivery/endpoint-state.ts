import { endpointState, eventsPrefixOf } from '../../registry/layout.ts';
import { fieldsOf } from '../../registry/json-fields.ts';
import { undefinedIfMissing } from '../../registry/links.ts';
import type { ObjectStore } from '../../storage/store.ts';

/** Bytes; the name of an event is not long. */
const maxStateSize = 64 * 1024;

/** How it stands with an endpoint that has a queue in the bucket. Without one that is written, its events are due. */
export interface EndpointState {
  /** Deliveries that failed, one after the other. */
  readonly failures: number;
  /** When the next one is due, by the clock that dates objects. */
  readonly nextAt: Date;
  /** The event that was refused last, as the last segment of its key, and how often. */
  readonly refused?: { readonly name: string; readonly times: number } | undefined;
  /** Why it did not take the last event, without a URL; undefined if it has taken it. */
  readonly reason?: string | undefined;
}

export async function writeState(store: ObjectStore, endpoint: string, state: EndpointState): Promise<void> {
  await store.put(endpointState(endpoint), Buffer.from(JSON.stringify(state)), { transient: true });
}

export async function deleteState(store: ObjectStore, endpoint: string): Promise<void> {
  await store.delete([endpointState(endpoint)], { transient: true });
}

/** A damaged one is as none. */
export async function readState(store: ObjectStore, endpoint: string): Promise<EndpointState> {
  const read = await undefinedIfMissing(store.read(endpointState(endpoint), maxStateSize));
  const { failures, nextAt, refused, reason } = ((read && fieldsOf(read.bytes)) ?? {}) as Partial<
    Record<keyof EndpointState, unknown>
  >;
  const due = new Date(String(nextAt));
  return {
    failures: typeof failures === 'number' ? failures : 0,
    nextAt: Number.isNaN(due.getTime()) ? new Date(0) : due,
    refused: isRefused(refused) ? refused : undefined,
    reason: typeof reason === 'string' ? reason : undefined,
  };
}

/** The endpoints that have a queue in the bucket, with or without settings: one request. */
export async function listQueues(store: ObjectStore): Promise<readonly string[]> {
  const prefix = eventsPrefixOf('queue');
  const { prefixes } = await store.list({ prefix, delimiter: '/' });
  return prefixes.map((found) => found.slice(prefix.length, -1));
}

function isRefused(value: unknown): value is NonNullable<EndpointState['refused']> {
  const { name, times } = Object(value) as Record<string, unknown>;
  return typeof name === 'string' && typeof times === 'number';
}
