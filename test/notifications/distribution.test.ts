import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { distributionEvent, envelopeType } from '../../lib/notifications/formats/distribution-event.ts';
import { notificationsOf } from '../../lib/registry/notifications-of.ts';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import type { Change } from '../../lib/registry/outbox/change.ts';
import { digestOf } from '../functions/client.ts';
import { distribution2, distribution3 } from '../servers/distribution.ts';
import { requires } from '../servers/requires.ts';
import { folderStorage } from '../servers/storage.ts';
import { until } from './delivering.ts';
import { receiver } from './receiver.ts';
import { intentOf, tag } from './samples.ts';

const app = parseRepositoryName('team/app');
const config = Buffer.from('{}');
const references = [
  { mediaType: 'application/vnd.oci.image.config.v1+json', digest: parseDigest(digestOf(config)), size: 2 },
];
const mediaType = 'application/vnd.oci.image.manifest.v1+json';
const image = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config: references[0], layers: [] }));
const digest = parseDigest(digestOf(image));
const blob = { content: 'blob', digest: parseDigest(digestOf(config)), size: 2 } as const;

/** What is done to a registry, in order. */
const changes: readonly Change[] = [
  { action: 'pushed', repository: app, ...blob },
  { action: 'mounted', repository: parseRepositoryName('team/other'), from: app, ...blob },
  {
    action: 'pushed',
    content: 'manifest',
    repository: app,
    digest,
    mediaType,
    size: image.length,
    tags: [tag('v1')],
    artifactType: undefined,
    subject: undefined,
    references,
  },
  { action: 'deleted', content: 'manifest', repository: app, digest, tags: [tag('v1')] },
  { action: 'deleted', content: 'blob', repository: app, digest: blob.digest },
];

async function doChanges(base: string): Promise<void> {
  const request = async (method: string, path: string, body?: Buffer, type = 'application/octet-stream') => {
    const options = body === undefined ? {} : { body, headers: { 'content-type': type } };
    const response = await fetch(new URL(path, base), { method, ...options });
    assert.ok(response.ok, `${method} ${path}: ${response.status}`);
    return response;
  };
  const { headers } = await request('POST', '/v2/team/app/blobs/uploads/');
  await request('PUT', `${headers.get('location') ?? ''}&digest=${blob.digest}`, config);
  await request('POST', `/v2/team/other/blobs/uploads/?mount=${blob.digest}&from=team/app`);
  await request('PUT', '/v2/team/app/manifests/v1', image, mediaType);
  await request('DELETE', `/v2/team/app/manifests/${digest}`);
  await request('DELETE', `/v2/team/app/blobs/${blob.digest}`);
}

interface Event {
  readonly target: Readonly<Record<string, unknown>>;
}

/** Without what differs each time, and the empty fields that distribution 3 adds to deletes. */
function comparable(event: Event, base: string): unknown {
  const { target, ...rest } = event;
  const filled = Object.entries(target).filter(([, value]) => value !== '' && value !== 0);
  const url = typeof target['url'] === 'string' ? { url: target['url'].replace(base, '') } : {};
  return { fields: fieldsOf(rest), target: { ...Object.fromEntries(filled), ...url } };
}

/** Names of all fields. An actor has a name only with access control, which distribution has not here. */
function fieldsOf(event: object): readonly string[] {
  return Object.entries(event as Readonly<Record<string, unknown>>)
    .flatMap(([name, value]) =>
      typeof value === 'object' && value !== null
        ? [name, ...Object.keys(value).map((key) => `${name}.${key}`)]
        : [name],
    )
    .filter((name) => name !== 'actor.name')
    .sort();
}

for (const distribution of [distribution2, distribution3])
  describe(`the events of ${distribution.name}`, requires(distribution.needs), () => {
    it('have the fields and targets of ours, in the same order', async (t) => {
      const storage = await folderStorage();
      const webhook = await receiver();
      t.after(async () => {
        await webhook.stop();
      });
      const registry = await distribution.start(storage.settings, { webhook: webhook.url });
      t.after(async () => {
        await registry.stop();
        storage.remove();
      });
      const base = `http://${registry.address}`;
      await doChanges(base);
      const ours = changes.flatMap((change) =>
        notificationsOf(intentOf(change)).map(
          (one) =>
            JSON.parse(
              JSON.stringify(distributionEvent(one, { includeReferences: true, origin: base })),
            ) as Event,
        ),
      );
      await until(() => webhook.received.length >= ours.length);
      const theirs = webhook.received.flatMap(
        ({ body }) => (JSON.parse(body) as { events: readonly Event[] }).events,
      );
      assert.deepEqual(
        ours.map((event) => comparable(event, base)),
        theirs.map((event) => comparable(event, base)),
      );
      // Version 2.8 says 1 for the same fields.
      const types = new Set(webhook.received.map(({ headers }) => headers['content-type']));
      assert.deepEqual(
        [...types],
        [distribution === distribution2 ? envelopeType.replace('v2', 'v1') : envelopeType],
      );
    });
  });
