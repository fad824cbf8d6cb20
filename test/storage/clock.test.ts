import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it, mock } from 'node:test';
import { startServer } from '../../lib/server/server.ts';
import { loadConfig } from '../../lib/config/config.ts';
import { S3Store } from '../../lib/storage/s3/store.ts';
import type { S3Options } from '../../lib/storage/s3/bucket.ts';
import { Client } from '../functions/client.ts';
import { s3Kinds, type Buckets } from '../servers/buckets.ts';
import { freePort } from '../servers/ports.ts';
import { requires } from '../servers/requires.ts';

const minute = 60_000;

for (const kind of s3Kinds)
  describe(`a wrong clock beside ${kind.name}`, requires(...kind.needs), () => {
    let buckets: Buckets;
    let options: S3Options;

    before(async () => {
      buckets = await kind.start();
      const { storage } = loadConfig('maintenance', (await buckets.newBucket()).settings);
      if (storage.kind !== 's3') assert.fail();
      options = storage;
    });

    after(async () => {
      mock.timers.reset();
      await buckets.stop();
    });

    /** Opens the bucket where the machine's clock is off by so many minutes, in this process. */
    function openAt(minutes: number): { store: S3Store; warnings: string[] } {
      mock.timers.reset();
      mock.timers.enable({ apis: ['Date'], now: Date.now() + minutes * minute });
      const warnings: string[] = [];
      const store = new S3Store(options, (message) => warnings.push(message));
      return { store, warnings };
    }

    for (const [minutes, words] of [
      [-20, /clock is 20 minutes behind /],
      [20, /clock is 20 minutes ahead of /],
      [-30 * 24 * 60, /clock is 43200 minutes behind /],
    ] as const)
      it(`a clock ${minutes} minutes off is reported once, and signatures use the clock of ${kind.name}`, async () => {
        const { store, warnings } = openAt(minutes);
        const key = `at/${minutes}`;
        await store.put(key, Buffer.from('content'));
        for (let i = 0; i < 2; i++) {
          await store.head(key);
          const answer = await fetch(await store.signedUrl(key, 20 * 60));
          assert.equal(answer.status, 200);
          assert.equal(await answer.text(), 'content');
        }
        assert.equal(warnings.length, 1);
        assert.match(warnings[0] ?? '', words);
        assert.ok(Math.abs(store.clockOffsetMs + minutes * minute) < minute);
        store.close();
      });

    it(`a wrong clock does not break redirected pulls on ${kind.name}`, async () => {
      mock.timers.reset();
      mock.timers.enable({ apis: ['Date'], now: Date.now() - 20 * minute });
      const { settings } = await buckets.newBucket({
        REGISTRY_HTTP_ADDR: `127.0.0.1:${await freePort()}`,
        REGISTRY_LOG_LEVEL: 'warn',
      });
      const server = await startServer('server', loadConfig('server', settings));
      const client = new Client(server.url);
      const bytes = randomBytes(1000);
      const digest = await client.pushBlob('app', bytes);
      const answer = await fetch(`${server.url}/v2/app/blobs/${digest}`);
      assert.ok(answer.redirected);
      assert.equal(answer.status, 200);
      assert.ok(bytes.equals(Buffer.from(await answer.arrayBuffer())));
      await server.stop();
    });

    it(`a right clock beside ${kind.name} is not reported`, async () => {
      const { store, warnings } = openAt(0);
      await store.check();
      assert.deepEqual([warnings, store.clockOffsetMs], [[], 0]);
      store.close();
    });
  });
