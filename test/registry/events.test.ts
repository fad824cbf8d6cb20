import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, it } from 'node:test';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { parseTag } from '../../lib/protocol/tags.ts';
import type { EventContext, RegistryEvent } from '../../lib/registry/events.ts';
import type { Notification } from '../../lib/registry/notification.ts';
import type { ManifestPushed } from '../../lib/registry/outbox/change.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { createPublisher } from '../../lib/registry/publisher.ts';
import type { Subscriber } from '../../lib/registry/subscriber.ts';
import { readOnly } from '../../lib/registry/wrappers/read-only.ts';
import { withEvents } from '../../lib/registry/wrappers/with-events.ts';
import { LocalFile } from '../../lib/search/file/local-file.ts';
import { recordPushes } from '../../lib/search/record-pushes.ts';
import { Search } from '../../lib/search/search.ts';
import { digestOf, imageType, indexType, manifest } from '../functions/client.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { MemoryStore } from './memory-store.ts';

const name = parseRepositoryName('team/app');
const bytes = manifest({ manifests: [] }, indexType);
const byDigest = parseReference(digestOf(bytes));
const blobDigest = parseDigest(digestOf(Buffer.from('layer')));
const context: EventContext = {
  actor: 'somebody',
  request: {
    id: '',
    method: 'PUT',
    path: '/',
    host: 'a',
    protocol: 'http',
    userAgent: 'b',
    address: undefined,
  },
};

/** The events of pushes, each with these tags. */
async function eventsOf(...tags: readonly string[]): Promise<RegistryEvent[]> {
  const events: RegistryEvent[] = [];
  const registry = withEvents(createRegistry(new MemoryStore()), context, (event) => events.push(event));
  await registry.manifests.put(name, byDigest, bytes, indexType, { tags: tags.map(parseTag) });
  return events;
}

let folder: Folder;

before(async () => {
  folder = await temporaryFolder('events');
});

after(() => {
  folder.remove();
});

it('an event has the actor and the request of its context', async () => {
  for (const { actor, request } of await eventsOf('v1')) assert.deepEqual({ actor, request }, context);
});

it('a pull that is redirected to the store is an event; a failed one is not', async () => {
  const events: RegistryEvent[] = [];
  const blob = { digest: parseDigest(digestOf(randomBytes(5))), size: 5 };
  const store = new MemoryStore();
  const registry = withEvents(createRegistry(store), context, (event) => events.push(event));
  await registry.blobs.url(name, blob);
  assert.equal(events.length, 0);
  const signing = Object.assign(store, {
    signedUrl: async () => await Promise.resolve(new URL('http://bucket/blob')),
  });
  await withEvents(createRegistry(signing), context, (event) => events.push(event)).blobs.url(name, blob);
  assert.partialDeepStrictEqual(events, [{ action: 'pulled', content: 'blob', descriptor: blob }]);
});

it('a registry with events refuses the same as the wrapped registry', () => {
  const within = readOnly(createRegistry(new MemoryStore()));
  assert.deepEqual(withEvents(within, context, () => undefined).refusal, within.refusal);
});

const source = { address: 'a:1', instance: 'b' };

/** What a subscriber is told of events that happened. */
async function tell(subscriber: Subscriber, events: readonly RegistryEvent[]): Promise<void> {
  const publish = createPublisher([subscriber], source, (_, error) => {
    throw error;
  });
  await publish(events);
}

function subscriberTo(deliver: Subscriber['deliver'], takes: Subscriber['takes'] = () => true): Subscriber {
  return { name: 'of a test', takes, deliver };
}

it('a publisher waits for every subscriber and ignores their failures', async () => {
  const [done, failures]: [unknown[], unknown[]] = [[], []];
  const publish = createPublisher(
    [
      subscriberTo(() => {
        throw new Error('at once');
      }),
      subscriberTo(async () => await Promise.reject(new Error('later'))),
      subscriberTo(async ({ action, tag }) => {
        await new Promise(setImmediate);
        done.push([action, tag]);
        return { outcome: 'taken' };
      }),
    ],
    source,
    (_, error) => failures.push(error),
  );
  await publish(await eventsOf('v1', 'v2'));
  assert.deepEqual(done, [
    ['push', 'v1'],
    ['push', 'v2'],
  ]);
  assert.deepEqual(
    failures.map((error) => (error as Error).message),
    ['at once', 'at once', 'later', 'later'],
  );
});

it('a subscriber is told what an endpoint is, and only what it takes', async () => {
  const events: RegistryEvent[] = [];
  const registry = withEvents(createRegistry(new MemoryStore()), context, (event) => events.push(event));
  await registry.uploads.put(name, blobDigest, { body: Readable.from([Buffer.from('layer')]), length: 5 });
  const to = parseRepositoryName('team/other');
  await registry.blobs.mount(to, blobDigest, name);
  // It has it already, so nothing changes.
  await registry.blobs.mountFromAnywhere(to, blobDigest, () => false);
  const layers = [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: blobDigest, size: 5 }];
  const image = manifest({ config: layers[0], layers }, imageType);
  const reference = parseReference(digestOf(image));
  await registry.manifests.put(name, reference, image, imageType, { tags: [parseTag('v1')] });
  await registry.manifests.get(name, parseReference('v1'));
  await registry.manifests.delete(name, parseReference('v1'));
  await registry.manifests.delete(name, reference);
  await registry.blobs.delete(name, blobDigest);
  const told: Notification[] = [];
  const note = async (notification: Notification) => {
    told.push(notification);
    return await Promise.resolve({ outcome: 'taken' } as const);
  };
  await tell(
    subscriberTo(note, ({ action }) => action !== 'pull'),
    events,
  );
  assert.deepEqual(
    told.map(({ action, tag, change }) => [action, change.content, change.repository, tag]),
    [
      ['push', 'blob', name, undefined],
      ['mount', 'blob', to, undefined],
      ['push', 'manifest', name, 'v1'],
      ['delete', 'tag', name, 'v1'],
      ['delete', 'manifest', name, undefined],
      ['delete', 'blob', name, undefined],
    ],
  );
  const push = told[2];
  assert.ok(push !== undefined);
  const { change, context: about, source: from } = push;
  assert.partialDeepStrictEqual(change, { digest: digestOf(image), tags: ['v1'], size: image.byteLength });
  assert.deepEqual((change as ManifestPushed).references, [...layers, ...layers]);
  assert.deepEqual([about, from], [context, source]);
  assert.equal(new Set(told.map(({ id }) => id)).size, told.length);
});

it('the list of repositories records a push of several tags once and ignores a push without tags', async () => {
  const file = await LocalFile.open(join(folder.path, 'list'));
  const recorded: string[] = [];
  const record = file.record.bind(file);
  file.record = async (repository) => {
    recorded.push(repository);
    await record(repository);
  };
  const search = new Search(async () => await Promise.resolve(file), createRegistry(new MemoryStore()));
  await search.reindex();
  const subscriber = recordPushes(search, {
    timeoutMs: 60_000,
    warn: (fields, message) => {
      throw new Error(message, { cause: fields });
    },
  });
  await tell(subscriber, await eventsOf());
  assert.deepEqual(recorded, []);
  await tell(subscriber, await eventsOf('v1', 'v2', 'v3'));
  assert.deepEqual(recorded, [name]);
  assert.deepEqual((await file.list({ n: 10, last: '' })).names, [name]);
  await search.close();
});

it('a list of repositories that fails is a warning with its cause and the repository, and no failure', async () => {
  const cause = new Error('it is down');
  const search = new Search(async () => await Promise.reject(cause), createRegistry(new MemoryStore()));
  const warnings: unknown[] = [];
  const warn = (fields: object, message: string) => warnings.push({ ...fields, message });
  await tell(recordPushes(search, { timeoutMs: 60_000, warn }), await eventsOf('v1', 'v2'));
  assert.partialDeepStrictEqual(warnings, [
    { name, message: 'the list of repositories is stale: it lacks a push until the next reindex' },
  ]);
  assert.equal((warnings[0] as { err: Error }).err.cause, cause);
});
