/** A bucket that is stopped and started. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { requires } from '../servers/requires.ts';
import type { S3Process } from '../servers/s3-program.ts';
import { bucketStorage } from '../servers/storage.ts';
import { versitygw } from '../servers/versitygw.ts';
import { Client, send, someName, type Reply } from './client.ts';
import { startPlanes, type Planes } from './planes.ts';

const ways = ['server', 'dataPlane', 'gateway'] as const;

describe('a bucket that is stopped and started', requires('versitygw'), () => {
  let bucket: S3Process;
  let planes: Planes;
  const name = someName();

  before(async () => {
    bucket = await versitygw();
    planes = await startPlanes(
      { REGISTRY_HEALTH_STORAGEDRIVER_INTERVAL: '1s', REGISTRY_LOG_LEVEL: 'error' },
      await bucketStorage(bucket),
    );
    await new Client(planes.server).pushImage(name, 'v1');
  });

  after(async () => {
    await planes.stop();
    await bucket.stop();
  });

  const get = async (way: (typeof ways)[number], path: string): Promise<Reply> =>
    await send(planes[way], { method: 'GET', path });

  /** Asks every way until all give this status. */
  const becomes = async (status: number): Promise<Reply[]> => {
    for (let tries = 0; tries < 100; tries++) {
      const replies = await Promise.all(ways.map(async (way) => await get(way, '/readyz')));
      if (replies.every((reply) => reply.status === status)) return replies;
      await delay(200);
    }
    throw new Error(`not all became ${status}`);
  };

  it('makes servers and functions unready, which go on answering, and ready again', async () => {
    await becomes(200);
    await bucket.halt();
    for (const { body } of await becomes(503))
      assert.deepEqual(JSON.parse(body.toString()), { status: 'unready', unready: ['storage'] });
    for (const way of ways) {
      assert.equal((await get(way, '/livez')).status, 200);
      assert.equal((await get(way, '/')).status, 200);
    }
    for (const way of ['server', 'gateway'] as const) {
      assert.equal((await get(way, '/v2/')).status, 200);
      const { status, body } = await get(way, `/v2/${name}/manifests/v2`);
      assert.equal(status, 503);
      assert.match(body.toString(), /"code":"UNAVAILABLE"/);
    }
    await bucket.resume();
    await becomes(200);
    assert.equal((await get('server', `/v2/${name}/manifests/v1`)).status, 200);
  });
});
