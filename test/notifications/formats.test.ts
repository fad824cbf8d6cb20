import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cloudEvent } from '../../lib/notifications/formats/cloud-event.ts';
import { distributionEvent } from '../../lib/notifications/formats/distribution-event.ts';
import { notificationsOf } from '../../lib/registry/notifications-of.ts';
import type { Change } from '../../lib/registry/outbox/change.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { digest, intentOf, layer, notificationOf, pushed, repository, tag } from './samples.ts';

const other = parseRepositoryName('team/other');

const mounted: Change = {
  action: 'mounted',
  content: 'blob',
  repository: other,
  digest: layer,
  size: 7,
  from: repository,
};

/** As JSON has it: without undefined fields. */
function asJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

describe('an event in the format of distribution', () => {
  it('of a pushed tag has all fields', () => {
    const notification = notificationOf();
    const url = `https://registry.example.com/v2/team/app/manifests/${digest}`;
    assert.deepEqual(asJson(distributionEvent(notification, { includeReferences: true })), {
      id: notification.id,
      timestamp: '2026-11-28T01:02:03.456Z',
      action: 'push',
      target: {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest,
        size: 392,
        length: 392,
        repository: 'team/app',
        url,
        tag: 'v1',
        references: pushed.references,
      },
      request: {
        id: 'a-request',
        addr: '192.0.2.7',
        host: 'registry.example.com',
        method: 'PUT',
        useragent: 'docker/28',
      },
      actor: { name: 'alice' },
      source: { addr: 'registry-1:5000', instanceID: 'c6b61c1b-ceda-49e8-a9db-47c3a709c24b' },
    });
  });

  it('has no references unless they are asked for', () => {
    assert.equal(distributionEvent(notificationOf(), {}).target.references, undefined);
  });

  it('has URLs below the configured address of the registry', () => {
    const options = { origin: 'https://images.example.com', prefix: '/registry' };
    assert.equal(
      distributionEvent(notificationOf(mounted), options).target.url,
      `https://images.example.com/registry/v2/team/other/blobs/${layer}`,
    );
  });

  it('of what a command did has no URL, host or actor where nobody says them', () => {
    const intent = intentOf();
    const request = {
      ...intent.context.request,
      id: '',
      method: '',
      host: '',
      userAgent: '',
      address: undefined,
    };
    const [notification] = notificationsOf({ ...intent, context: { actor: undefined, request } });
    assert.ok(notification !== undefined);
    const { target, request: sent, actor } = distributionEvent(notification, {});
    assert.equal(target.url, undefined);
    assert.deepEqual(asJson({ sent, actor }), { sent: { id: '', method: '', useragent: '' }, actor: {} });
  });
});

describe('a CloudEvent', () => {
  const deleted = { action: 'deleted', repository } as const;

  for (const [change, type, subject] of [
    [pushed, 'stowage.manifest.pushed', 'team/app:v1'],
    [{ ...pushed, tags: [] }, 'stowage.manifest.pushed', `team/app@${digest}`],
    [
      { action: 'pushed', content: 'blob', repository, digest: layer, size: 7 },
      'stowage.blob.pushed',
      `team/app@${layer}`,
    ],
    [mounted, 'stowage.blob.mounted', `team/other@${layer}`],
    [{ ...deleted, content: 'tag', tag: tag('v1'), digest }, 'stowage.tag.deleted', 'team/app:v1'],
    [
      { ...deleted, content: 'manifest', digest, tags: [tag('v1')] },
      'stowage.manifest.deleted',
      `team/app@${digest}`,
    ],
    [{ ...deleted, content: 'blob', digest: layer }, 'stowage.blob.deleted', `team/app@${layer}`],
    [{ ...deleted, content: 'repository' }, 'stowage.repository.deleted', 'team/app'],
  ] as const satisfies readonly (readonly [Change, string, string])[])
    it(`of type ${type} is about ${subject.slice(0, 20)}`, () => {
      const event = cloudEvent(notificationOf(change), {});
      assert.deepEqual([event.type, event.subject], [type, subject]);
    });

  it('has the fields that CloudEvents 1.0 requires, and the rest of distribution’s event as its data', () => {
    const notification = notificationOf();
    const { id, timestamp, ...data } = distributionEvent(notification, {});
    assert.deepEqual(cloudEvent(notification, {}), {
      specversion: '1.0',
      id,
      type: 'stowage.manifest.pushed',
      source: 'https://registry.example.com',
      subject: 'team/app:v1',
      time: timestamp,
      datacontenttype: 'application/json',
      data,
    });
  });

  it('of a pull says whether a cache could not ask its upstream', () => {
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const about = { content: 'manifest', repository, digest, mediaType, size: 392 } as const;
    const change = { action: 'pulled', ...about } as const;
    const dataOf = (isStale: boolean) =>
      cloudEvent({ ...notificationOf(), action: 'pull', change: { ...change, isStale } }, {}).data;
    assert.equal(dataOf(true).stale, true);
    assert.ok(!('stale' in dataOf(false)));
  });
});

describe('the notifications of a change', () => {
  const three = { ...pushed, tags: [tag('v1'), tag('v1.2'), tag('v1.2.3')] };

  it('of several tags are one for each, with the same id whenever they are made', () => {
    const intent = intentOf(three);
    const all = notificationsOf(intent);
    assert.deepEqual(
      all.map((one) => one.tag),
      ['v1', 'v1.2', 'v1.2.3'],
    );
    const ids = all.map(({ id }) => id);
    assert.equal(new Set(ids).size, 3);
    for (const id of ids)
      assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    // One tag was overwritten before anybody looked.
    const fewer = notificationsOf(intent, [{ ...three, tags: three.tags.slice(1) }]);
    assert.deepEqual(
      fewer.map(({ id }) => id),
      ids.slice(1),
    );
  });

  it('of one tag have the id of the intent', () => {
    const intent = intentOf();
    assert.deepEqual(
      notificationsOf(intent).map(({ id }) => id),
      [intent.id],
    );
  });

  it('of a deleted manifest are one by its digest, then one for each tag that went with it', () => {
    const intent = intentOf({
      action: 'deleted',
      content: 'manifest',
      repository,
      digest,
      tags: [tag('v1'), tag('v2')],
    });
    const all = notificationsOf(intent);
    assert.deepEqual(
      all.map((one) => asJson(distributionEvent(one, {}).target)),
      [
        { digest, repository },
        { repository, tag: 'v1' },
        { repository, tag: 'v2' },
      ],
    );
    assert.equal(all[0]?.id, intent.id);
    // Only a tag is known to have gone.
    const gone = { action: 'deleted', content: 'tag', repository, tag: tag('v2'), digest } as const;
    assert.equal(notificationsOf(intent, [gone])[0]?.id, all[2]?.id);
  });
});
