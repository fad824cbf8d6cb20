import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createFilter } from '../../lib/notifications/filter.ts';
import { isWanted } from '../../lib/registry/notifications-of.ts';
import type { Notification } from '../../lib/registry/notification.ts';
import { digest, layer, notificationOf, pushed, repository, webhookConfig } from './samples.ts';

const blob = { action: 'pushed', content: 'blob', repository, digest: layer, size: 7 } as const;
const deleted = { action: 'deleted', content: 'blob', repository, digest: layer } as const;

const push = notificationOf();
const pull: Notification = {
  ...push,
  action: 'pull',
  change: {
    action: 'pulled',
    content: 'manifest',
    repository,
    digest,
    mediaType: pushed.mediaType,
    size: 392,
  },
};

function takes(options: Parameters<typeof webhookConfig>[1], notification: Notification): boolean {
  return createFilter(webhookConfig('http://receiver', options))(notification);
}

describe('an endpoint', () => {
  it('is told of pushes, mounts and deletes, and of pulls only if it asks for them', () => {
    assert.ok(takes({}, push));
    assert.ok(takes({}, notificationOf(deleted)));
    assert.ok(!takes({}, pull));
    assert.ok(takes({ actions: ['pull'] }, pull));
    assert.ok(!takes({ actions: ['pull'] }, push));
  });

  it('is not told of ignored media types, which a delete does not have', () => {
    const options = { ignoredMediaTypes: ['application/octet-stream'] };
    assert.ok(!takes(options, notificationOf(blob)));
    assert.ok(takes(options, push));
    assert.ok(takes(options, notificationOf(deleted)));
  });

  it('is told of repositories that match one of its patterns', () => {
    assert.ok(takes({ repositories: ['other/*', 'team/**'] }, push));
    assert.ok(!takes({ repositories: ['other/*', 'team'] }, push));
  });

  it('makes a change wanted if it takes what is told of it', () => {
    const ignoresBlobs = {
      takes: createFilter(webhookConfig('', { ignoredMediaTypes: ['application/octet-stream'] })),
    };
    const onlyDeletes = { takes: createFilter(webhookConfig('', { actions: ['delete'] })) };
    assert.ok(isWanted([ignoresBlobs], pushed));
    assert.ok(!isWanted([ignoresBlobs, onlyDeletes], blob));
    assert.ok(isWanted([ignoresBlobs, onlyDeletes], deleted));
    assert.ok(!isWanted([], pushed));
  });
});
