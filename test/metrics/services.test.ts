import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { ConcurrencyLimit } from '../../lib/concurrency/concurrency-limit.ts';
import { limitMetrics } from '../../lib/metrics/service-metrics.ts';
import { line, right } from '../access/htpasswd/lines.ts';
import { send, someName } from '../functions/client.ts';
import { measuredServer } from './metrics-server.ts';
import { readMetrics, sumOf } from './text-format.ts';

describe('metrics of services', () => {
  it('count passwords by outcome', async () => {
    const { client, metrics, stop } = await measuredServer({
      REGISTRY_AUTH: 'htpasswd',
      REGISTRY_AUTH_HTPASSWD_CONTENT: line('anna'),
    });
    const login = async (password: string) => {
      const authorization = `Basic ${Buffer.from(`anna:${password}`).toString('base64')}`;
      return (await send(client.base, { method: 'GET', path: '/v2/', headers: { authorization } })).status;
    };
    assert.deepEqual([await login(right), await login(right), await login('wrong')], [200, 200, 401]);
    const lines = await metrics();
    const checks = (outcome: string) => sumOf(lines, 'stowage_password_checks_total', { outcome });
    assert.deepEqual(['right', 'wrong', 'throttled', 'unavailable'].map(checks), [2, 1, 0, 0]);
    await stop();
  });

  it('count events by action and content', async () => {
    const { client, metrics, stop } = await measuredServer();
    const name = someName();
    await client.pushImage(name, 'v1');
    await client.must(200, { method: 'GET', path: `/v2/${name}/manifests/v1` });
    await client.must(202, { method: 'DELETE', path: `/v2/${name}/manifests/v1` });
    const lines = await metrics();
    const count = (action: string, content: string) =>
      sumOf(lines, 'stowage_events_total', { action, content });
    assert.ok(count('push', 'blob') > 0);
    assert.deepEqual(
      [
        count('push', 'manifest'),
        count('pull', 'manifest'),
        count('delete', 'tag'),
        count('delete', 'manifest'),
      ],
      [1, 1, 1, 0],
    );
    await stop();
  });

  it('show when the list of repositories last matched the bucket, and count pushes', async () => {
    const started = Date.now() / 1000;
    const { client, metrics, stop } = await measuredServer();
    await client.pushImage(someName(), 'v1');
    const when = async () => sumOf(await metrics(), 'stowage_repository_list_reindexed_timestamp_seconds');
    // The first reindex is in the background.
    while ((await when()) === 0) await delay(50);
    assert.ok((await when()) >= started - 1 && (await when()) <= Date.now() / 1000 + 1);
    const lines = await metrics();
    const success = { outcome: 'success' };
    assert.equal(sumOf(lines, 'stowage_repository_list_reindexes_total', success), 1);
    assert.equal(sumOf(lines, 'stowage_repository_list_pushes_total', success), 1);
    assert.equal(sumOf(lines, 'stowage_repository_list_pushes_total', { outcome: 'failure' }), 0);
    await stop();
  });

  it('show who waits for a concurrency limit, and who was refused', async () => {
    const registry = new Registry();
    const bodies = new ConcurrencyLimit(2, { queueLimit: 1 });
    limitMetrics(registry, { bodies });
    const end = Promise.withResolvers<undefined>();
    const tasks = [1, 2, 3].map(async () => {
      await bodies.run(async () => {
        await end.promise;
      });
    });
    await assert.rejects(
      bodies.run(async () => {
        await end.promise;
      }),
    );
    const read = async (name: string) =>
      sumOf(readMetrics(await registry.metrics()), `stowage_limit_${name}`, { limit: 'bodies' });
    const names = ['capacity', 'in_use', 'waiting', 'waits_total', 'refusals_total'];
    assert.deepEqual(await Promise.all(names.map(read)), [2, 2, 1, 1, 1]);
    end.resolve(undefined);
    await Promise.all(tasks);
    assert.deepEqual(await Promise.all(names.map(read)), [2, 0, 0, 1, 1]);
  });
});
