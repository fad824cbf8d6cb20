import { existsSync } from 'node:fs';
import { printEvents } from './events/print-events.ts';
import { harmless } from './harmless.ts';
import { count, onlyFile, readOptions, UsageError, type Command } from './command.ts';
import {
  countPendingWrites,
  summarizeEndpoints,
  type EndpointSummary,
} from '../notifications/endpoint-summary.ts';
import {
  countEvents,
  endpointsWithEvents,
  listEvents,
  purgeEvents,
  replayEvents,
  type StoredKind,
} from '../notifications/stored-events.ts';
import { tableLines } from './table.ts';
import { logChange, openStorage, type Opened } from './undo/open.ts';

export const command: Command = {
  summary: 'list events that endpoints have not taken, send them again, or delete them',
  usage: `Usage: stowage events list [ENDPOINT] [--all] [--json] [FILE]
       stowage events replay ENDPOINT [ID]… [--dry-run] [FILE]
       stowage events purge ENDPOINT [ID]… [--waiting] [--dry-run] [FILE]

list shows how many events wait for each endpoint, and how many were given up; of one endpoint, each of them. replay sends
events again that were given up: all of an endpoint, or those with these ids. purge deletes them.

  --all      list all events of an endpoint, not only a thousand
  --waiting  delete those that still wait as well: nobody will be told of them
  --dry-run  print what would be done, and do nothing
  --json     print one object for programs
  FILE       a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH`,
  run: async (args) => {
    const { values, positionals } = readOptions(args, {
      json: { type: 'boolean' },
      all: { type: 'boolean' },
      waiting: { type: 'boolean' },
      'dry-run': { type: 'boolean' },
    });
    const { json = false, all: isAll = false, waiting = false, 'dry-run': dryRun = false } = values;
    const { verb, endpoint, ids, file } = readWords(positionals);
    if (verb !== 'list' && json) throw new UsageError('--json is of list');
    if (isAll && (verb !== 'list' || endpoint === undefined))
      throw new UsageError('--all is of list with the name of an endpoint');
    if (verb !== 'purge' && waiting) throw new UsageError('--waiting is of purge');
    if (verb === 'list' && dryRun) throw new UsageError('--dry-run is of replay and purge');
    const opened = await openStorage(file, { writes: verb !== 'list' && !dryRun });
    if (endpoint !== undefined) await assertKnown(opened, endpoint);
    if (endpoint === undefined) await listAll(opened, json);
    else if (verb === 'list') await printEvents(opened.store, endpoint, { json, isAll });
    else await change(opened, { verb, endpoint, ids, waiting, dryRun });
    return 0;
  },
};

const verbs = ['list', 'replay', 'purge'] as const;

type Verb = (typeof verbs)[number];

interface Words {
  readonly verb: Verb;
  /** Undefined only for `list`. */
  readonly endpoint: string | undefined;
  readonly ids: readonly string[];
  readonly file: string | undefined;
}

/** @throws UsageError */
function readWords([given, ...words]: readonly string[]): Words {
  const verb = verbs.find((one) => one === given);
  if (verb === undefined) throw new UsageError(`say what to do: ${verbs.join(', ')}`);
  const [first] = words;
  const endpoint = first !== undefined && /^[\w-]{1,64}$/.test(first) ? first : undefined;
  if (endpoint === undefined && verb !== 'list') throw new UsageError(`name the endpoint, such as builds`);
  const rest = endpoint === undefined ? words : words.slice(1);
  const isId = (word: string) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(word);
  const ids = verb === 'list' ? [] : rest.filter(isId);
  const others = rest.filter((word) => !ids.includes(word));
  if (verb !== 'list') assertNoIds(others, endpoint ?? '');
  return { verb, endpoint, ids, file: onlyFile(others) };
}

/** One word may be a file; what else there is was meant for an id. @throws UsageError */
function assertNoIds(words: readonly string[], endpoint: string): void {
  const mayBeFile = (word: string) => existsSync(word) || (words.length === 1 && /[./]/.test(word));
  const wrong = words.find((word) => !mayBeFile(word)) ?? words[1];
  if (wrong !== undefined)
    throw new UsageError(
      `${JSON.stringify(wrong)} is no id of an event; stowage events list ${endpoint} shows them`,
    );
}

/** A typo would look like an endpoint without events. */
async function assertKnown({ store, config }: Opened, endpoint: string): Promise<void> {
  const configured = config.notifications.endpoints.map(({ name }) => name);
  const names = [...new Set([...configured, ...(await endpointsWithEvents(store))])].sort();
  if (!names.includes(endpoint))
    throw new Error(
      `no endpoint ${endpoint} is in the settings, and no events of one are in the storage; there ${names.length === 0 ? 'are none' : `are: ${names.join(', ')}`}`,
    );
}

async function listAll({ store, config }: Opened, json: boolean): Promise<void> {
  const configured = config.notifications.endpoints.map(({ name }) => name);
  const pending = await countPendingWrites(store);
  const endpoints = await summarizeEndpoints(store, configured);
  if (json) {
    const listed = endpoints.map(({ state, ...one }) => ({
      ...one,
      isConfigured: configured.includes(one.name),
      failures: state?.failures ?? 0,
      nextAttemptAt: state?.nextAt ?? null,
      reason: state?.reason ?? null,
    }));
    console.log(JSON.stringify({ version: 1, pendingWrites: pending, endpoints: listed }, undefined, 2));
    return;
  }
  const rows = endpoints.map((one) => [
    one.name,
    String(one.waiting),
    String(one.givenUp),
    noteOf(one, configured),
  ]);
  if (rows.length === 0) console.log('There are no endpoints in the settings, and no events.');
  else
    for (const line of tableLines([['ENDPOINT', 'WAITING', 'GIVEN UP', 'STATE'], ...rows])) console.log(line);
  if (pending > 0)
    console.log(`${count(pending, 'write')} of which no endpoint was told yet, or in progress`);
}

function noteOf({ name, state }: EndpointSummary, configured: readonly string[]): string {
  if (!configured.includes(name)) return 'not in the settings: nobody delivers';
  if (state?.reason === undefined) return '';
  const { failures, nextAt, reason } = state;
  const failed =
    failures === 0
      ? 'refused the last event'
      : `failed ${count(failures, 'time')}, next attempt ${nextAt.toISOString()}`;
  return `${failed}: ${harmless(reason)}`;
}

interface ChangeOptions {
  readonly verb: Exclude<Verb, 'list'>;
  readonly endpoint: string;
  readonly ids: readonly string[];
  readonly waiting: boolean;
  readonly dryRun: boolean;
}

async function change(opened: Opened, options: ChangeOptions): Promise<void> {
  const { verb, endpoint, ids, waiting, dryRun } = options;
  const { store } = opened;
  const kinds: readonly StoredKind[] = waiting ? ['dead', 'queue'] : ['dead'];
  const chosen = await findEvents(opened, kinds, options);
  const work = async (kind: StoredKind, name?: string) =>
    verb === 'replay'
      ? await replayEvents(store, { endpoint, name })
      : await purgeEvents(store, kind, { endpoint, name });
  let changed = 0;
  if (dryRun) {
    if (ids.length > 0) changed = chosen.length;
    else for (const kind of kinds) changed += await countEvents(store, kind, endpoint);
  } else {
    if (ids.length === 0) for (const kind of kinds) changed += await work(kind);
    else for (const { kind, name } of chosen) changed += await work(kind, name);
    if (changed > 0) logChange(opened, { command: `events ${verb}`, endpoint, events: changed });
  }
  const done = verb === 'replay' ? 'put back into the queue' : 'deleted';
  console.log(`${dryRun ? `would ${verb}` : done} ${count(changed, 'event')} of ${endpoint}`);
  if (verb === 'replay' || ids.length > 0 || waiting) return;
  const left = await countEvents(store, 'queue', endpoint);
  if (left > 0)
    console.log(
      `${left} still ${left === 1 ? 'waits; --waiting deletes it' : 'wait; --waiting deletes them'}`,
    );
}

/** The events with some ids: those of the others are not kept in memory. @throws if one is missing */
async function findEvents(
  { store }: Opened,
  kinds: readonly StoredKind[],
  { endpoint, ids }: Pick<ChangeOptions, 'endpoint' | 'ids'>,
): Promise<readonly { readonly kind: StoredKind; readonly name: string }[]> {
  if (ids.length === 0) return [];
  const found: { kind: StoredKind; name: string; id: string }[] = [];
  for (const kind of kinds)
    for await (const { name, notification } of listEvents(store, kind, { endpoint }))
      if (notification !== undefined && ids.includes(notification.id))
        found.push({ kind, name, id: notification.id });
  const missing = ids.find((id) => !found.some((one) => one.id === id));
  if (missing !== undefined)
    throw new Error(
      `no such event as ${missing}; stowage events list ${endpoint} shows those that there are`,
    );
  return found;
}
