import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { someName } from '../../functions/client.ts';
import { UserClient } from '../client.ts';
import type { Stage } from '../stage.ts';
import type { Upstreams } from './upstreams.ts';

const MiB = 1024 ** 2;

/** Longer than any copy takes here. */
const longestWaitMs = 60_000;

/** A stage that is a cache of registries. */
export interface CachingStage {
  readonly stage: Stage;
  readonly bucket: string;
  readonly upstreams: Upstreams;
}

/** Functions with their own roles are a cache of registries. */
export function cacheSuite(deployed: () => CachingStage): void {
  describe('its caches', () => {
    let client: UserClient;

    before(() => {
      const { stage } = deployed();
      client = new UserClient(`http://${stage.address}`, stage.user);
    });

    const isOwn = (location: string | undefined) =>
      new URL(location ?? '').pathname.startsWith(`/${deployed().bucket}/`);

    /** Pulls a blob until it comes from the bucket of the stage. @returns what was answered before, and the bytes at last */
    async function pulled(
      path: string,
    ): Promise<{ readonly before: readonly number[]; readonly bytes: Buffer }> {
      const deadline = Date.now() + longestWaitMs;
      const before: number[] = [];
      for (;;) {
        const { status, headers } = await client.send({ method: 'GET', path });
        if (status === 307 && isOwn(headers.location)) {
          const response = await fetch(headers.location ?? '');
          return { before, bytes: Buffer.from(await response.arrayBuffer()) };
        }
        before.push(status);
        assert.ok(Date.now() < deadline, `${path} was answered ${before.join(', ')}`);
        await delay(200);
      }
    }

    it('give an image, whose tags and layers the upstream has', async () => {
      const name = someName();
      const { digest, layer } = await deployed().upstreams.client.pushImage(name, 'v1');
      const path = `/v2/redirects/${name}`;
      const { headers } = await client.must(200, { method: 'GET', path: `${path}/manifests/v1` });
      assert.equal(headers['docker-content-digest'], digest);
      const { body } = await client.must(200, { method: 'GET', path: `${path}/tags/list` });
      assert.deepEqual((JSON.parse(body.toString()) as { tags: string[] }).tags, ['v1']);
      const { before } = await pulled(`${path}/blobs/${layer}`);
      assert.ok(before.length > 0 && before.every((status) => status === 307), before.join());
    });

    for (const [what, name] of [
      ['the function blobs', someName],
      ['the function all', () => `long/name/of/five/${someName('x').replace('/', '-')}`],
    ] as const)
      it(`copy what ${what} is asked for, with the rights of functions`, async () => {
        const bytes = randomBytes(5 * MiB);
        const remote = name();
        const digest = await deployed().upstreams.client.pushBlob(remote, bytes);
        const first = await pulled(`/v2/redirects/${remote}/blobs/${digest}`);
        assert.ok(
          first.before.length > 0 && first.before.every((status) => status === 307),
          first.before.join(),
        );
        assert.deepEqual(first.bytes, bytes);
        const second = await pulled(`/v2/sends/${remote}/blobs/${digest}`);
        assert.ok(
          second.before.length > 0 && second.before.every((status) => status === 503),
          second.before.join(),
        );
        assert.deepEqual(second.bytes, bytes);
        const small = randomBytes(MiB);
        const other = await deployed().upstreams.client.pushBlob(remote, small);
        assert.deepEqual(await pulled(`/v2/sends/${remote}/blobs/${other}`), { before: [], bytes: small });
      });
  });
}
