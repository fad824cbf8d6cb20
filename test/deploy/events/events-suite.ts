import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { FilterLogEventsCommand } from '@aws-sdk/client-cloudwatch-logs';
import { descriptor, digestOf, imageType, manifest } from '../../functions/client.ts';
import { UserClient } from '../client.ts';
import { eventRightsSuite } from './rights-suite.ts';
import { endpointNames, isSigned, type EndpointName, type Told } from './targets.ts';
import type { TellingStage } from './telling-stage.ts';
import { Triggers } from './triggers.ts';

/** Longer than any delivery takes here. */
const longestWaitMs = 60_000;

const name = 'told/app';

/** Endpoints of each kind are told of what happens on a stage. */
export function eventsSuite(deployed: () => TellingStage): void {
  describe('its events', () => {
    let client: UserClient;
    let triggers: Triggers;

    before(async () => {
      const { place, stage } = deployed();
      client = new UserClient(`http://${stage.address}`, stage.user);
      triggers = new Triggers(place.emulator.aws, stage);
      assert.equal(await triggers.setSchedule(false), 'rate(1 minute) ENABLED');
    });

    /** What an endpoint was told, once that has an event. */
    const toldUntil = async (endpoint: EndpointName, isLast: (one: Told) => boolean) => {
      const deadline = Date.now() + longestWaitMs;
      for (;;) {
        const told = await deployed().targets.told(endpoint);
        if (told.some(isLast)) return told;
        assert.ok(Date.now() < deadline, `${endpoint} was told ${JSON.stringify(told)}`);
        await delay(100);
      }
    };

    it('come to each endpoint at once, without any other, and with the same ids', async () => {
      const { digest, bytes, layer } = await client.pushImage(name, 'v1');
      const { config } = JSON.parse(bytes.toString()) as { config: { digest: string } };
      await client.pushImage('quiet/app', 'v1');
      const missing = manifest({ config: descriptor(randomBytes(20)), layers: [] });
      const path = `/v2/${name}/manifests/v2`;
      const refused = { method: 'PUT', path, headers: { 'content-type': imageType }, body: missing };
      assert.ok((await client.send(refused)).status < 500);
      await client.must(202, { method: 'DELETE', path: `/v2/${name}/manifests/v1` });
      const expected = [`push ${config.digest}`, `push ${layer}`, `push ${digest} v1`, `delete v1`];
      const ids = new Set<string>();
      for (const endpoint of endpointNames) {
        const told = await toldUntil(endpoint, ({ action }) => action === 'delete');
        const said = told.map(({ action, target }) =>
          [action, target.digest, target.tag].filter((one) => one !== undefined).join(' '),
        );
        assert.deepEqual(said, expected, endpoint);
        for (const { id, target } of told) {
          ids.add(id);
          assert.equal(target.repository, name);
        }
      }
      assert.equal(ids.size, expected.length);
    });

    it('are signed with the secret that the deployment has made', async () => {
      const { stage, targets } = deployed();
      const { REGISTRY_NOTIFICATIONS_ENDPOINTS_BUILDS_SECRET: secret = '' } = await stage.secret('events');
      assert.match(secret, /^[0-9a-f]{64}$/);
      assert.ok(targets.webhook.received.length > 0);
      for (const one of targets.webhook.received) assert.ok(isSigned(one, secret));
    });

    describe('without messages of its queue', () => {
      before(async () => {
        await triggers.setQueue(false);
      });

      it('come by the schedule', async () => {
        const digest = await client.pushBlob(name, randomBytes(100));
        assert.ok((await triggers.loseMessages()) > 0);
        assert.equal(await triggers.invoke(), undefined);
        for (const endpoint of endpointNames)
          await toldUntil(endpoint, ({ target }) => target.digest === digest);
      });

      it('that an endpoint refuses are kept, and the invocation fails', async () => {
        const { place, stage, bucket, targets } = deployed();
        const bytes = randomBytes(100);
        targets.webhook.answer((response) => response.writeHead(400).end());
        await client.pushBlob(name, bytes);
        const error = await triggers.invoke();
        targets.webhook.answer((response) => response.end());
        assert.match(error ?? 'it has not failed', /1 event was given up/);
        const Prefix = 'docker/registry/v2/events/dead/builds/';
        const { KeyCount } = await place.emulator.aws.s3.send(
          new ListObjectsV2Command({ Bucket: bucket, Prefix }),
        );
        assert.equal(KeyCount, 1);
        for (const endpoint of ['audit', 'rules'] as const)
          await toldUntil(endpoint, ({ target }) => target.digest === digestOf(bytes));
        const { events: logged = [] } = await place.emulator.aws.logs.send(
          new FilterLogEventsCommand({ logGroupName: `/aws/lambda/${stage.functionName('events')}` }),
        );
        assert.ok(logged.some(({ message = '' }) => /"level":"error".*events were given up/.test(message)));
        assert.equal(await triggers.invoke(), undefined);
      });

      eventRightsSuite(() => ({ ...deployed(), client, triggers }));
    });
  });
}
