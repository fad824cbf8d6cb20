import { after, before, describe } from 'node:test';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { policyKey } from '../../infra/stack/environment.ts';
import { cacheSuite } from '../deploy/cache/cache-suite.ts';
import { cacheRightsSuite } from '../deploy/cache/rights-suite.ts';
import { openUpstreams, type Upstreams } from '../deploy/cache/upstreams.ts';
import { newStage, type Place, type Stage } from '../deploy/stage.ts';
import { ministackS3 } from '../servers/ministack-s3.ts';
import { accountId, ministack } from '../servers/ministack.ts';
import { requires } from '../servers/requires.ts';

const bucket = `stowage-cache-${accountId}`;

const policy = "rules:\n  - { name: all, who: admin, repositories: '**', allow: '*' }\n";

describe('a registry that is deployed with upstreams', requires('ministack'), () => {
  let place: Place;
  let stage: Stage;
  let upstreams: Upstreams;
  const started: { stop(): Promise<void> }[] = [];

  before(async () => {
    const emulator = await ministack();
    started.push(emulator);
    place = { emulator, s3: await ministackS3(emulator) };
    started.push(place.s3);
    upstreams = await openUpstreams(place);
    started.push(upstreams);
    stage = await newStage(place, 'cache', upstreams.settings);
    started.push(stage);
    await stage.deploy(upstreams.secrets);
    await emulator.aws.s3.send(new PutObjectCommand({ Bucket: bucket, Key: policyKey, Body: policy }));
  });

  after(async () => {
    for (const one of started.reverse()) await one.stop();
  });

  cacheSuite(() => ({ stage, bucket, upstreams }));

  cacheRightsSuite(() => ({ place, stage, bucket, upstreams }));
});
