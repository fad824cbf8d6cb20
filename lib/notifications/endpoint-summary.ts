import {
  endpointStatesPrefix,
  eventsPrefixOf,
  parseEndpointState,
  pendingPrefix,
} from '../registry/layout.ts';
import { listObjects } from '../registry/list-objects.ts';
import type { ObjectStore } from '../storage/store.ts';
import { readState, type EndpointState } from './delivery/endpoint-state.ts';
import type { StoredKind } from './stored-events.ts';

/** How it stands with an endpoint. */
export interface EndpointSummary {
  readonly name: string;
  /** Events that wait for it. */
  readonly waiting: number;
  /** Events that were given up. */
  readonly givenUp: number;
  /** Undefined if it takes what it is told of. */
  readonly state: EndpointState | undefined;
}

/** @param endpoints to be there even if nothing is kept for them, by name */
export async function summarizeEndpoints(
  store: ObjectStore,
  endpoints: readonly string[],
): Promise<readonly EndpointSummary[]> {
  const [waiting, givenUp, states] = await Promise.all([
    countByEndpoint(store, 'queue'),
    countByEndpoint(store, 'dead'),
    endpointsWithState(store),
  ]);
  const names = new Set([...endpoints, ...waiting.keys(), ...givenUp.keys(), ...states]);
  return await Promise.all(
    [...names].sort().map(async (name) => ({
      name,
      waiting: waiting.get(name) ?? 0,
      givenUp: givenUp.get(name) ?? 0,
      state: states.includes(name) ? await readState(store, name) : undefined,
    })),
  );
}

/** Writes of which no endpoint was told yet, among them writes in progress. */
export async function countPendingWrites(store: ObjectStore): Promise<number> {
  return (await Array.fromAsync(listObjects(store, pendingPrefix))).length;
}

/** By endpoint. Nothing is read. */
async function countByEndpoint(store: ObjectStore, kind: StoredKind): Promise<ReadonlyMap<string, number>> {
  const prefix = eventsPrefixOf(kind);
  const counts = new Map<string, number>();
  for await (const { key } of listObjects(store, prefix)) {
    const [name = ''] = key.slice(prefix.length).split('/');
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

async function endpointsWithState(store: ObjectStore): Promise<readonly string[]> {
  const objects = await Array.fromAsync(listObjects(store, endpointStatesPrefix));
  return objects.flatMap(({ key }) => parseEndpointState(key) ?? []);
}
