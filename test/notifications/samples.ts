import { randomUUID } from 'node:crypto';
import type { EndpointConfig, WebhookTarget } from '../../lib/config/notifications.ts';
import { notificationsOf } from '../../lib/registry/notifications-of.ts';
import type { Notification } from '../../lib/registry/notification.ts';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import type { Tag } from '../../lib/protocol/tags.ts';
import type { Change, ManifestPushed } from '../../lib/registry/outbox/change.ts';
import type { Intent } from '../../lib/registry/outbox/intent.ts';
import { digestOf } from '../functions/client.ts';

export const repository = parseRepositoryName('team/app');
export const digest = parseDigest(digestOf(Buffer.from('an image')));
export const layer = parseDigest(digestOf(Buffer.from('a layer')));

export function tag(text: string): Tag {
  const reference = parseReference(text);
  if (reference.kind !== 'tag') throw new Error(`${text} is no tag`);
  return reference.tag;
}

export const pushed: ManifestPushed = {
  action: 'pushed',
  content: 'manifest',
  repository,
  digest,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
  size: 392,
  tags: [tag('v1')],
  artifactType: undefined,
  subject: undefined,
  references: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layer, size: 7 }],
};

export function intentOf(change: Change = pushed): Intent {
  return {
    id: randomUUID(),
    at: new Date('2026-11-28T01:02:03.456Z'),
    change,
    context: {
      actor: 'alice',
      request: {
        id: 'a-request',
        method: 'PUT',
        path: '/v2/team/app/manifests/v1',
        host: 'registry.example.com',
        protocol: 'https',
        userAgent: 'docker/28',
        address: '192.0.2.7',
      },
    },
    source: { address: 'registry-1:5000', instance: 'c6b61c1b-ceda-49e8-a9db-47c3a709c24b' },
  };
}

/** The first of what endpoints are told of a change. */
export function notificationOf(change: Change = pushed): Notification {
  const [first] = notificationsOf(intentOf(change));
  if (first === undefined) throw new Error('nobody is told of this');
  return first;
}

/** An endpoint on loopback, with the values of the settings by default. */
export function webhookConfig(
  url: string,
  {
    target: more = {},
    ...config
  }: Partial<Omit<EndpointConfig, 'target'>> & { readonly target?: Partial<WebhookTarget> } = {},
): EndpointConfig & { readonly target: WebhookTarget } {
  return {
    name: 'builds',
    format: 'distribution',
    timeoutMs: 1000,
    threshold: 10,
    backoffMs: 1000,
    actions: ['push', 'mount', 'delete'],
    ignoredMediaTypes: [],
    repositories: undefined,
    ...config,
    target: { kind: 'webhook', url, headers: {}, secrets: [], privateAddresses: true, ...more },
  };
}
