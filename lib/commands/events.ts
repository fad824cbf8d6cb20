import { harmless } from './harmless.ts';
import { count, onlyFile, readOptions, UsageError, type Command } from './command.ts';
import {
  countPendingWrites,
  summarizeEndpoints,
  type EndpointSummary,
} from '../notifications/endpoint-summary.ts';
import {
  countEvents,
  listEvents,
  purgeEvents,
  replayEvents,
  type StoredEvent,
  type StoredKind,
} from '../notifications/stored-events.ts';
import type { ObjectStore } from '../storage/store.ts';
import { tableLines } from './table.ts';
import { logChange, openStorage, type Opened } from './undo/open.ts';

export const command: Command = {
  summary: 'list events that endpoints have not taken, send them again, or delete them',
  usage: `Usage: stowage events list [ENDPOINT] [--json] [FILE]
       stowage events replay ENDPOINT [ID]… [--dry-run] [FILE]
       stowage events purge ENDPOINT [ID]… [--waiting] [--dry-run] [FILE]

list shows how many events wait for each endpoint, and how many were given up; of one endpoint, each of them. replay sends
events again that were given up: all of an endpoint, or those with these ids. purge deletes them.

  --waiting  delete those that still wait as well: nobody will be told of them
  --dry-run  print what would be done, and do nothing
  --json     print one object for programs
  FILE       a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH`,
  run: async (args) => {
    const { values, positionals } = readOptions(args, {
      json: { type: 'boolean' },
      waiting: { type: 'boolean' },
      'dry-run': { type: 'boolean' },
    });
    const { json = false, waiting = false, 'dry-run': dryRun = false } = values;
    const { verb, endpoint, ids, file } = readWords(positionals);
    if (verb !== 'list' && json) throw new UsageError('--json is of list');
    if (verb !== 'purge' && waiting) throw new UsageError('--waiting is of purge');
    if (verb === 'list' && dryRun) throw new UsageError('--dry-run is of replay and purge');
    const opened = await openStorage(file, { writes: verb !== 'list' && !dryRun });
    if (endpoint === undefined) await listAll(opened, json);
    else if (verb === 'list') await listOne(opened, endpoint, json);
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
  return { verb, endpoint, ids, file: onlyFile(rest.filter((word) => !ids.includes(word))) };
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
  else for (const line of tableLines([['ENDPOINT', 'WAITING', 'GIVEN UP', 'STATE'], ...rows])) console.log(line);
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

async function listOne({ store }: Opened, endpoint: string, json: boolean): Promise<void> {
  const events = await storedEvents(store, endpoint, ['dead', 'queue']);
  if (json) console.log(JSON.stringify({ version: 1, endpoint, events: events.map(jsonOf) }, undefined, 2));
  else if (events.length === 0) console.log(`No event waits for ${endpoint}, and none was given up.`);
  else
    for (const line of tableLines([['TIME', 'ID', 'EVENT', 'OF', 'STATE'], ...events.map(row)]))
      console.log(line);
}

async function storedEvents(
  store: ObjectStore,
  endpoint: string,
  kinds: readonly StoredKind[],
): Promise<readonly StoredEvent[]> {
  const events: StoredEvent[] = [];
  for (const kind of kinds)
    for await (const event of listEvents(store, kind, { endpoint })) events.push(event);
  return events;
}

function jsonOf({ kind, name, notification, givenUp }: StoredEvent) {
  return {
    id: notification?.id ?? null,
    at: notification?.at ?? null,
    action: notification?.action ?? null,
    repository: notification?.change.repository ?? null,
    tag: notification?.tag ?? null,
    digest: digestOf(notification) ?? null,
    isGivenUp: kind === 'dead',
    reason: givenUp?.reason ?? null,
    givenUpAt: givenUp?.at ?? null,
    object: name,
  };
}

function digestOf(notification: StoredEvent['notification']): string | undefined {
  const { change } = notification ?? {};
  return change !== undefined && 'digest' in change ? change.digest : undefined;
}

function row({ kind, name, notification, givenUp }: StoredEvent): string[] {
  const state = kind === 'queue' ? 'waits' : `given up: ${harmless(givenUp?.reason ?? 'it cannot be read')}`;
  if (notification === undefined) return ['', '', '', name, state];
  const { id, at, action, tag, change } = notification;
  const digest = digestOf(notification);
  const of = tag === undefined ? (digest === undefined ? '' : `@${digest}`) : `:${tag}`;
  return [at.toISOString(), id, action, `${change.repository}${of}`, state];
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
  const all = await storedEvents(store, endpoint, kinds);
  const missing = ids.find((id) => !all.some(({ notification }) => notification?.id === id));
  if (missing !== undefined)
    throw new Error(
      `no such event as ${missing}; stowage events list ${endpoint} shows those that there are`,
    );
  const chosen = all.filter(({ notification }) => ids.includes(notification?.id ?? ''));
  const work = async (kind: StoredKind, name?: string) =>
    verb === 'replay'
      ? await replayEvents(store, { endpoint, name })
      : await purgeEvents(store, kind, { endpoint, name });
  let changed = ids.length === 0 ? all.length : chosen.length;
  if (!dryRun) {
    changed = 0;
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
