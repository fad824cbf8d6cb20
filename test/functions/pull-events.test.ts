import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { receiver } from '../notifications/receiver.ts';
import { folderStorage } from '../servers/storage.ts';
import { serve } from '../servers/stowage.ts';
import { Client, descriptor, digestOf, manifest } from './client.ts';

interface Event {
  readonly action: string;
  readonly target: { readonly repository: string; readonly tag?: string; readonly digest: string };
}

const mediaType = 'application/vnd.oci.image.manifest.v1+json';

it('a server tells of pulls those endpoints that ask for them, and no others', async () => {
  const [asks, asksNot, storage] = await Promise.all([receiver(), receiver(), folderStorage()]);
  const registry = await serve(storage.settings, {
    REGISTRY_NOTIFICATIONS_ENDPOINTS: JSON.stringify([
      { name: 'asks', url: asks.url, privateaddresses: true, actions: ['pull'] },
      { name: 'asks-not', url: asksNot.url, privateaddresses: true },
    ]),
  });
  const events = ({ received }: typeof asks) =>
    received.flatMap(({ body }) => (JSON.parse(body) as { events: Event[] }).events);
  try {
    const client = new Client(`http://${registry.address}`);
    const layer = randomBytes(50);
    await client.pushBlob('team/app', layer);
    const body = manifest({ config: descriptor(layer), layers: [] });
    await client.must(201, {
      method: 'PUT',
      path: '/v2/team/app/manifests/v1',
      headers: { 'content-type': mediaType },
      body,
    });
    await client.must(200, { method: 'GET', path: '/v2/team/app/manifests/v1' });
    await client.must(200, { method: 'GET', path: `/v2/team/app/blobs/${digestOf(layer)}` });
    for (let i = 0; i < 200 && (events(asks).length < 2 || events(asksNot).length < 2); i++) await delay(50);
    assert.deepEqual(
      events(asks).map(({ action, target: { repository, tag, digest } }) => [
        action,
        repository,
        tag,
        digest,
      ]),
      [
        ['pull', 'team/app', 'v1', digestOf(body)],
        ['pull', 'team/app', undefined, digestOf(layer)],
      ],
    );
    assert.deepEqual(
      events(asksNot).map(({ action }) => action),
      ['push', 'push'],
    );
  } finally {
    await registry.stop();
    await Promise.all([asks.stop(), asksNot.stop()]);
    storage.remove();
  }
});
