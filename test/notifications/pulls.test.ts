import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { DeliveryLog } from '../../lib/notifications/delivery/delivery-log.ts';
import type { Endpoint } from '../../lib/notifications/endpoint.ts';
import { Pulls } from '../../lib/notifications/pulls.ts';
import type { NotificationReport } from '../../lib/notifications/report.ts';
import type { Notification } from '../../lib/registry/notification.ts';
import { localEndpoint, refused } from './delivering.ts';
import { digest, notificationOf, repository } from './samples.ts';

function pulled(): Notification {
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  return {
    ...notificationOf(),
    action: 'pull',
    change: { action: 'pulled', content: 'manifest', repository, digest, mediaType, size: 392 },
  };
}

function pullsTo(endpoint: Endpoint) {
  const reports: NotificationReport[] = [];
  const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
  const pulls = new Pulls({
    endpoints: [endpoint],
    log: new DeliveryLog(silent),
    report: (_, report) => reports.push(report),
    signal: new AbortController().signal,
  });
  return { pulls, dropped: () => reports.filter(({ event }) => event === 'dropped').length };
}

it('events of pulls beyond a thousand for an endpoint that is slow are dropped and counted', async () => {
  const slow = localEndpoint('slow');
  const { promise, resolve } = Promise.withResolvers<{ readonly outcome: 'taken' }>();
  slow.answer(() => promise);
  const { pulls, dropped } = pullsTo(slow);
  for (let i = 0; i < 1003; i++) await pulls.deliver(pulled());
  assert.equal(dropped(), 3);
  resolve({ outcome: 'taken' });
  for (let i = 0; i < 5000 && slow.taken.length < 1000; i++) await turn();
  assert.equal(slow.taken.length, 1000);
  assert.equal(new Set(slow.taken.map(({ id }) => id)).size, 1000);
});

it('the event of a pull is dropped once an endpoint has refused it as often as its threshold says', async () => {
  const endpoint = localEndpoint('picky', { threshold: 2, backoffMs: 1 });
  endpoint.answer(() => refused);
  const { pulls, dropped } = pullsTo(endpoint);
  await pulls.deliver(pulled());
  for (let i = 0; i < 5000 && dropped() === 0; i++) await turn();
  assert.equal(endpoint.attempts, 2);
  assert.equal(dropped(), 1);
});
