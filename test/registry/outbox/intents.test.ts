import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseDigest } from '../../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../../lib/protocol/names.ts';
import { parseTag } from '../../../lib/protocol/tags.ts';
import { eventsPrefix, pendingIntent } from '../../../lib/registry/layout.ts';
import type { Change, ManifestPushed } from '../../../lib/registry/outbox/change.ts';
import type { Intent } from '../../../lib/registry/outbox/intent.ts';
import { maxIntentSize, parseIntent, serializeIntent } from '../../../lib/registry/outbox/intent-object.ts';
import { PendingIntents } from '../../../lib/registry/outbox/pending.ts';
import type { ObjectStore } from '../../../lib/storage/store.ts';
import { MemoryStore } from '../memory-store.ts';
import { announcing, context, Deliveries, outboxOn } from './deliveries.ts';
import { Place } from './writes.ts';

const repository = parseRepositoryName('team/app');
const digest = parseDigest(`sha256:${'a'.repeat(64)}`);
const other = parseDigest(`sha256:${'b'.repeat(64)}`);

const pushed: ManifestPushed = {
  action: 'pushed',
  content: 'manifest',
  repository,
  digest,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  size: 500,
  tags: [parseTag('v1')],
  artifactType: 'application/spdx+json',
  subject: other,
  references: [{ mediaType: 'application/json', digest: other, size: 20 }],
};

const changes: readonly Change[] = [
  pushed,
  { ...pushed, tags: [], artifactType: undefined, subject: undefined, references: [] },
  { action: 'pushed', content: 'blob', repository, digest, size: 20 },
  { action: 'mounted', content: 'blob', repository, digest, size: undefined, from: repository },
  { action: 'deleted', content: 'tag', repository, tag: parseTag('v1'), digest: undefined },
  { action: 'deleted', content: 'manifest', repository, digest, tags: [parseTag('v1')] },
  { action: 'deleted', content: 'blob', repository, digest },
  { action: 'deleted', content: 'repository', repository },
];

const intentOf = (change: Change): Intent => ({
  id: '7e4d2f6e-94b5-4c0c-a4f1-0a4a2e0a2f11',
  at: new Date('2026-11-28T02:00:00.123Z'),
  change,
  context,
  source: { address: 'registry-1:5000', instance: 'b0c2' },
});

const readBack = (change: Change): Change => {
  const intent = parseIntent(serializeIntent(intentOf(change)));
  return typeof intent === 'object' ? intent.change : assert.fail();
};

describe('the object of an intent', () => {
  it('is read back as it was written, for every change', () => {
    for (const change of changes)
      assert.deepEqual(parseIntent(serializeIntent(intentOf(change))), intentOf(change));
  });

  it('counts the references and tags that it has no room for', () => {
    const references = Array.from({ length: 40_000 }, () => ({ mediaType: 'a/b', digest: other, size: 1 }));
    const tags = Array.from({ length: 5000 }, (_, i) => parseTag(`${'t'.repeat(120)}${i}`));
    for (const change of [
      { ...pushed, references, artifactType: 'a'.repeat(1_000_000) },
      { action: 'deleted', content: 'manifest', repository, digest, tags } as const,
    ]) {
      const bytes = serializeIntent(intentOf(change));
      assert.ok(bytes.length < maxIntentSize / 2, `${bytes.length} bytes`);
      const read = readBack(change);
      if (read.content !== 'manifest') assert.fail();
      if (read.action === 'pushed')
        assert.equal(read.references.length + (read.omittedReferences ?? 0), references.length);
      else assert.equal(read.tags.length + (read.omittedTags ?? 0), tags.length);
    }
  });

  it('is none with a field that is missing or wrong', () => {
    for (const change of changes) {
      const whole = JSON.parse(serializeIntent(intentOf(change)).toString()) as { change: object };
      for (const field of Object.keys(whole.change)) {
        const damaged = { ...whole, change: { ...whole.change, [field]: { no: 'value' } } };
        assert.equal(parseIntent(Buffer.from(JSON.stringify(damaged))), undefined, field);
      }
    }
    for (const text of ['', '{', '[]', '{}', '{"version":1}'])
      assert.equal(parseIntent(Buffer.from(text)), undefined, text);
  });
});

describe('the list of intents', () => {
  it('moves damaged ones aside, and leaves those of a later release', async () => {
    const store: ObjectStore = new MemoryStore();
    const reported: string[] = [];
    store.onDamaged = (key) => reported.push(key);
    const key = (n: number) => pendingIntent(new Date(n), 'x');
    await store.put(key(1), Buffer.from('{"vers'));
    await store.put(key(2), Buffer.alloc(maxIntentSize + 1));
    await store.put(key(3), Buffer.from('{"version":2}'));
    await store.put(key(4), serializeIntent(intentOf(pushed)));
    const listed = await Array.fromAsync(new PendingIntents(store).list());
    assert.deepEqual(
      listed.map((intents) => intents.map((one) => one.key)),
      [[key(4)]],
    );
    assert.deepEqual(reported.toSorted(), [key(1), key(2), key(3)]);
    const { objects } = await store.list({ prefix: eventsPrefix });
    assert.deepEqual(
      objects.map((one) => one.key.slice(eventsPrefix.length)),
      [
        'damaged/0000000000001-x',
        'damaged/0000000000002-x',
        'pending/0000000000003-x',
        'pending/0000000000004-x',
      ],
    );
  });
});

describe('an outbox', () => {
  it('writes nothing that no endpoint takes', async () => {
    const store = new MemoryStore();
    const at = new Place(store);
    const takes = ({ content }: Change) => content === 'blob';
    const { manifests, blobs } = announcing(store, { takes });
    const { bytes } = await at.image();
    await manifests.put(at.name, { kind: 'tag', tag: parseTag('v1') }, bytes, undefined);
    await blobs.delete(at.name, await at.blob());
    const deliveries = new Deliveries(store);
    await deliveries.look();
    assert.deepEqual(
      deliveries.events.map(({ change }) => change.content),
      ['blob'],
    );
  });

  it('waits before the answer for what was begun with the first intent', async () => {
    const store = new MemoryStore();
    const steps: string[] = [];
    const outbox = outboxOn(store, {
      onAnnounced: async () => {
        steps.push('begun');
        await new Promise(setImmediate);
        steps.push('sent');
      },
      onDone: () => steps.push('done'),
    });
    const announcement = outbox.announce(pushed, context) ?? assert.fail();
    announcement.intent(undefined);
    await announcement.done();
    assert.deepEqual(steps, ['begun', 'done', 'sent']);
  });
});
