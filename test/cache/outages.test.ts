import assert from 'node:assert/strict';
import { afterEach, describe, it, mock } from 'node:test';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { UpstreamError } from '../../lib/upstream/upstream.ts';
import { byDigest, digestOf, fresh, image, push, tagged } from '../registry/manifest-steps.ts';
import { cacheFixture } from './cache-fixture.ts';

const fixture = cacheFixture();
const mirrored = (name: string) => parseRepositoryName(`mirror/${name}`);
const down = new UpstreamError('unavailable', 'no');
const refused = { failure: 'UPSTREAM_UNAVAILABLE', status: 503, headers: { 'Retry-After': '10' } };

describe('an upstream that is down', () => {
  afterEach(() => {
    mock.timers.reset();
    fixture().upstream.failure = undefined;
  });

  it('is not asked again for some seconds, and then by one pull', async () => {
    mock.timers.enable({ apis: ['Date'], now: Date.now() });
    const { start, upstream } = fixture();
    const name = fresh();
    const bytes = await image(name);
    await push(name, bytes, 'v1');
    const cache = start();
    const pull = async (reference = tagged('v1')) => await cache.manifests.get(mirrored(name), reference);
    upstream.failure = down;
    await assert.rejects(pull(), refused);
    upstream.asked.length = 0;
    await assert.rejects(pull(), refused);
    await assert.rejects(pull(byDigest(digestOf(bytes))), refused);
    assert.deepEqual(upstream.asked, []);

    // Still down: one finds that out, and the others do not wait for it.
    mock.timers.tick(10_000);
    const answer = Promise.withResolvers<undefined>();
    upstream.onPing = async () => {
      await answer.promise;
    };
    const probe = pull();
    for (const other of [pull(tagged('v2')), pull(tagged('v3'))]) await assert.rejects(other, refused);
    answer.resolve(undefined);
    await assert.rejects(probe, refused);
    assert.deepEqual(upstream.asked, []);

    upstream.failure = undefined;
    await assert.rejects(pull(), refused);
    mock.timers.tick(10_000);
    assert.deepEqual((await pull()).bytes, bytes);
  });

  it('is not found by a check during which the process was frozen', async () => {
    mock.timers.enable({ apis: ['Date'], now: Date.now() });
    const { start, upstream } = fixture();
    const name = fresh();
    const bytes = await image(name);
    await push(name, bytes, 'v1');
    const cache = start();
    const answer = Promise.withResolvers<undefined>();
    const { onPing } = upstream;
    upstream.onPing = async () => {
      await answer.promise;
    };
    upstream.failure = down;
    await assert.rejects(cache.manifests.get(mirrored(name), tagged('v1')), refused);
    mock.timers.tick(3_600_000);
    answer.resolve(undefined);
    await new Promise(setImmediate);
    upstream.onPing = onPing;
    upstream.failure = undefined;
    assert.deepEqual((await cache.manifests.get(mirrored(name), tagged('v1'))).bytes, bytes);
  });

  it('is told from one that answers, but not for one repository', async () => {
    const { start, upstream } = fixture();
    const [broken, whole] = [fresh(), fresh()];
    const bytes = await image(whole);
    await push(whole, bytes, 'v1');
    const cache = start();
    upstream.failure = down;
    upstream.isDown = false;
    await assert.rejects(cache.manifests.get(mirrored(broken), tagged('v1')), refused);
    upstream.failure = undefined;
    upstream.isDown = undefined;
    assert.deepEqual((await cache.manifests.get(mirrored(whole), tagged('v1'))).bytes, bytes);
  });

  it('is reported with its host and the reason, for what is cached and what is not', async () => {
    const { start, upstream, failures } = fixture();
    const name = fresh();
    await push(name, await image(name), 'v1');
    const cache = start({ freshnessMs: 0 });
    await cache.manifests.get(mirrored(name), tagged('v1'));
    upstream.failure = down;
    failures.length = 0;
    await cache.manifests.get(mirrored(name), tagged('v1'));
    await assert.rejects(cache.manifests.get(mirrored(name), tagged('v2')), refused);
    assert.ok(failures.length >= 2);
    assert.ok(failures.every((failure) => failure instanceof UpstreamError && failure.message === 'no'));
  });
});
