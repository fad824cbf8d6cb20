import { harmless } from '../harmless.ts';
import { tableLines } from '../table.ts';
import { countEvents, listEvents, type StoredEvent } from '../../notifications/stored-events.ts';
import type { ObjectStore } from '../../storage/store.ts';

/** Events that are listed by default. Each is a request. */
const usualLimit = 1_000;

/** Events that are printed at a time, so that memory does not grow with them. */
const pageLength = 100;

/**
 * Prints the events of an endpoint as they are read: those that were given up, then those that wait.
 * @param isAll whether it prints more than a thousand
 */
export async function printEvents(
  store: ObjectStore,
  endpoint: string,
  { json, isAll }: { readonly json: boolean; readonly isAll: boolean },
): Promise<void> {
  const print = json ? jsonPrinter(endpoint) : tablePrinter(endpoint);
  const limit = isAll ? Infinity : usualLimit;
  let listed = 0;
  let page: StoredEvent[] = [];
  for await (const event of storedEvents(store, endpoint)) {
    if (listed === limit) break;
    listed++;
    page.push(event);
    if (page.length < pageLength) continue;
    print.events(page);
    page = [];
  }
  if (page.length > 0) print.events(page);
  // Nothing is read to count them.
  const all =
    listed < limit
      ? listed
      : (await countEvents(store, 'dead', endpoint)) + (await countEvents(store, 'queue', endpoint));
  print.end(Math.max(0, all - listed));
}

async function* storedEvents(store: ObjectStore, endpoint: string): AsyncGenerator<StoredEvent, void> {
  yield* listEvents(store, 'dead', { endpoint });
  yield* listEvents(store, 'queue', { endpoint });
}

interface Printer {
  readonly events: (page: readonly StoredEvent[]) => void;
  readonly end: (more: number) => void;
}

function tablePrinter(endpoint: string): Printer {
  let isFirst = true;
  return {
    events: (page) => {
      const head = isFirst ? [['TIME', 'ID', 'EVENT', 'OF', 'STATE']] : [];
      isFirst = false;
      for (const line of tableLines([...head, ...page.map(row)])) console.log(line);
    },
    end: (more) => {
      if (isFirst) console.log(`No event waits for ${endpoint}, and none was given up.`);
      if (more > 0) console.log(`and ${more} more; --all lists them`);
    },
  };
}

/** One object, an event on each line. */
function jsonPrinter(endpoint: string): Printer {
  let separator = '';
  process.stdout.write(`{ "version": 1, "endpoint": ${JSON.stringify(endpoint)}, "events": [`);
  return {
    events: (page) => {
      for (const event of page) {
        process.stdout.write(`${separator}\n  ${JSON.stringify(jsonOf(event))}`);
        separator = ',';
      }
    },
    end: (more) => {
      process.stdout.write(`\n], "more": ${more} }\n`);
    },
  };
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
