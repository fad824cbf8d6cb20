import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { InvokeCommand } from '@aws-sdk/client-lambda';
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { policyKey } from '../../infra/stack/environment.ts';
import { parsePolicy } from '../../lib/access/policy/parse.ts';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { blobData, quotaUsed } from '../../lib/registry/layout.ts';
import { QuotaRules } from '../../lib/registry/quotas/quota.ts';
import { accountId } from '../servers/ministack.ts';
import { cleanEnvironment, command } from '../servers/process.ts';
import { UserClient } from './client.ts';
import { bucketSettings } from './data-plane.ts';
import { eventsSuite } from './events/events-suite.ts';
import { openTargets, type Targets } from './events/targets.ts';
import { newStage, type Place, type Stage } from './stage.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));

const bucket = `stowage-three-${accountId}`;

const day = 24 * 3_600_000;

const policy = `
retention:
  - { repositories: 'team/**', tags: ['*', '!latest'], keep: { pushedWithin: 1d }, otherwise: delete, untaggedAfter: 1d }
quotas:
  - { repositories: 'team/**', quota: 1 GB }
rules:
  - { name: all, who: admin, repositories: '**', allow: '*' }
`;

/**
 * A stage with garbage collection and endpoints of events: its function `gc` follows the rules of the policy with its own role, and
 * `events` delivers.
 */
export function collectionSuite(deployed: () => Place): void {
  describe('a stage with garbage collection and endpoints of events', () => {
    let stage: Stage;
    let targets: Targets;
    let client: UserClient;
    /** By tag: manifest, config and layer. */
    const images = new Map<string, readonly string[]>();

    before(async () => {
      targets = await openTargets(deployed().emulator.aws);
      stage = await newStage(deployed(), 'three', {
        eventQueue: 'true',
        REGISTRY_NOTIFICATIONS_ENDPOINTS: targets.endpoints,
        REGISTRY_GC_ENABLED: 'true',
        REGISTRY_GC_EXCLUSIVE: 'true',
        REGISTRY_GC_DELAY: '5s',
        REGISTRY_GC_FENCE: '5s',
        REGISTRY_GC_MARGIN: '0s',
      });
      await stage.deploy();
      const { s3 } = deployed().emulator.aws;
      await s3.send(new PutObjectCommand({ Bucket: bucket, Key: policyKey, Body: policy }));
      client = new UserClient(`http://${stage.address}`, stage.user);
      for (const tag of ['v1', 'wrong', 'latest']) images.set(tag, await push(tag));
      await client.must(202, { method: 'DELETE', path: '/v2/team/app/manifests/wrong' });
    });

    after(async () => {
      await stage.stop();
      await targets.stop();
    });

    const push = async (tag: string) => {
      const { digest } = await client.pushImage('team/app', tag);
      const { body } = await client.must(200, { method: 'GET', path: `/v2/team/app/manifests/${digest}` });
      const { config, layers } = JSON.parse(body.toString()) as Record<'config', { digest: string }> &
        Record<'layers', { digest: string }[]>;
      return [digest, config.digest, ...layers.map((layer) => layer.digest)];
    };

    /** @returns the error that it has failed with */
    const invoke = async (agedMs = 0) => {
      const { emulator, s3 } = deployed();
      const { intercept } = s3;
      s3.agedMs = agedMs;
      // Nothing is younger than it looks that a function has condemned.
      s3.intercept = async (request, index) => {
        if (request.method === 'PUT' && request.key.includes('/gc/marks/')) s3.agedMs = 0;
        return await intercept(request, index);
      };
      try {
        const request = new InvokeCommand({ FunctionName: stage.functionName('gc') });
        const { FunctionError, Payload } = await emulator.aws.lambda.send(request);
        return FunctionError === undefined ? undefined : (Payload?.transformToString() ?? '');
      } finally {
        s3.agedMs = 0;
        s3.intercept = intercept;
      }
    };

    const keys = async (prefix: string) => {
      const { s3 } = deployed().emulator.aws;
      const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }));
      return Contents.map(({ Key = '' }) => Key);
    };
    const bytesOf = async (tag: string) => {
      const there = await keys('docker/registry/v2/blobs/');
      return (images.get(tag) ?? []).map((digest) => there.includes(blobData(parseDigest(digest))));
    };
    const tags = async () => {
      const { body } = await client.must(200, { method: 'GET', path: '/v2/team/app/tags/list' });
      return (JSON.parse(body.toString()) as { tags: string[] | null }).tags;
    };
    const sum = async () => {
      const [quota] = new QuotaRules(parsePolicy(policy).content.quotas).all;
      const Key = quotaUsed(quota?.id ?? '');
      const { Body } = await deployed().emulator.aws.s3.send(new GetObjectCommand({ Bucket: bucket, Key }));
      return (JSON.parse((await Body?.transformToString()) ?? '{}') as { bytes: number }).bytes;
    };

    it('removes nothing by a rule that was not planned, but sums its quotas', async () => {
      assert.match((await invoke()) ?? 'it has not failed', /not planned .*retention 1, line 3/);
      assert.deepEqual(await tags(), ['latest', 'v1']);
      assert.ok((await sum()) > 0);
    });

    it('removes the tags of a rule that was planned', async () => {
      const { text } = await command(process.execPath, ['lib/commands/stowage.ts', 'retention', 'plan'], {
        cwd: project,
        env: cleanEnvironment({
          ...bucketSettings(deployed(), bucket),
          REGISTRY_STORAGE: 's3',
          REGISTRY_AUTH: 'policy',
          REGISTRY_AUTH_POLICY_OBJECT: policyKey,
        }),
      });
      assert.match(text, /would remove 0 tags and keep 2/);
      assert.equal(await invoke(2 * day), undefined);
      assert.deepEqual(await tags(), ['latest']);
    });

    it('deletes what has had no tag for long, and sums what is left', async () => {
      const Prefix = 'docker/registry/v2/deleted/';
      // As if it were long ago that the tags were deleted.
      const Objects = (await keys(Prefix)).map((Key) => ({ Key }));
      assert.equal(Objects.length, 2);
      const { s3 } = deployed().emulator.aws;
      await s3.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects } }));
      assert.equal(await invoke(2 * day), undefined);
      assert.deepEqual(await bytesOf('v1'), [true, true, true]);
      const before = await sum();
      const isThere = async () =>
        (await bytesOf('v1')).includes(true) || (await bytesOf('wrong')).includes(true);
      // The bucket dates objects by seconds, so when a fence has ended is known to some of them.
      for (let run = 0; run < 5 && (await isThere()); run++) {
        await delay(run === 0 ? 7000 : 2000);
        assert.equal(await invoke(), undefined);
      }
      for (const tag of ['v1', 'wrong']) assert.deepEqual(await bytesOf(tag), [false, false, false]);
      assert.deepEqual(await bytesOf('latest'), [true, true, true]);
      await client.must(200, { method: 'GET', path: '/v2/team/app/manifests/latest' });
      assert.equal(await invoke(2 * day), undefined);
      assert.ok((await sum()) < before);
    });

    eventsSuite(() => ({ place: deployed(), stage, bucket, targets }));
  });
}
