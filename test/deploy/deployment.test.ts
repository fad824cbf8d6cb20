import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { policyKey } from '../../infra/stack/environment.ts';
import { digestOf, withDigest } from '../functions/client.ts';
import { ministackS3 } from '../servers/ministack-s3.ts';
import { accountId, ministack } from '../servers/ministack.ts';
import { requires } from '../servers/requires.ts';
import type { Stowage } from '../servers/stowage.ts';
import { UserClient } from './client.ts';
import { clientsSuite } from './clients-suite.ts';
import { collectionSuite } from './collection-suite.ts';
import { dataPlaneOf } from './data-plane.ts';
import { policyOfRights, rightsSuite } from './rights/rights-suite.ts';
import { schedulesSuite } from './schedules-suite.ts';
import { secondStageSuite } from './second-stage-suite.ts';
import { newStage, type Place, type Stage } from './stage.ts';

const bucket = `stowage-one-${accountId}`;

/** Parts of multipart uploads, and copies in parts, with as few bytes as S3 takes. */
const smallParts = {
  REGISTRY_STORAGE_S3_CHUNKSIZE: String(5 * 1024 ** 2),
  REGISTRY_STORAGE_S3_MULTIPARTCOPYTHRESHOLDSIZE: String(5 * 1024 ** 2),
};

/** One after the other on one stage: a deployment takes 20 s and more. */
describe('a registry that is deployed', requires('ministack'), () => {
  let place: Place;
  let stage: Stage;
  let dataPlane: Stowage;
  let printed: string;
  const started: { stop(): Promise<void> }[] = [];
  const client = () => new UserClient(`http://${stage.address}`, stage.user);

  before(async () => {
    const emulator = await ministack();
    started.push(emulator);
    place = { emulator, s3: await ministackS3(emulator) };
    started.push(place.s3);
    stage = await newStage(place, 'one', smallParts, true);
    started.push(stage);
    printed = await stage.deploy();
    const Body = policyOfRights;
    await emulator.aws.s3.send(new PutObjectCommand({ Bucket: bucket, Key: policyKey, Body }));
    dataPlane = await dataPlaneOf(place, stage, bucket, await stage.secret('http'));
    started.push({
      stop: async () => {
        await dataPlane.stop();
      },
    });
  });

  after(async () => {
    for (const one of started.reverse()) await one.stop();
  });

  it('says what is made, and how it is used', () => {
    assert.match(printed, /\+ \d+ AWS::Lambda::Function/);
    assert.match(printed, /^ +docker login \S+ --username admin$/m);
  });

  describe('with a data plane at the same address', () => {
    clientsSuite(() => stage, 24 * 1024 ** 2);

    it('receives layers there', () => {
      assert.match(dataPlane.output(), /"method":"P(ATCH|UT)"/);
    });

    it('finds what was pushed', async () => {
      const { digest } = await client().pushImage('team/found', 'v1');
      const { body } = await client().must(200, { method: 'GET', path: '/v1/search?q=found' });
      assert.match(body.toString(), /"team\/found"/);
      await client().must(200, { method: 'GET', path: `/v2/team/found/manifests/${digest}` });
    });
  });

  secondStageSuite(() => ({ place, first: stage }));

  collectionSuite(() => place);

  it('takes a changed secret, while uploads go on that began before', async () => {
    const bytes = randomBytes(1000);
    const digest = digestOf(bytes);
    const begun = await client().startUpload('team/changed');
    const REGISTRY_HTTP_SECRET = randomBytes(32).toString('hex');
    const secret = await stage.secret('http');
    assert.doesNotMatch(await stage.deploy({ REGISTRY_HTTP_SECRET }), /^Password/m);
    await dataPlane.stop();
    // The functions receive this one.
    stage.dataPlane = undefined;
    await client().must(201, { method: 'PUT', path: withDigest(begun, digest), body: bytes });
    const { REGISTRY_HTTP_SECRET_PREVIOUS } = await stage.secret('http');
    assert.equal(REGISTRY_HTTP_SECRET_PREVIOUS, secret['REGISTRY_HTTP_SECRET']);
    // It takes nothing that was signed with the old one.
    dataPlane = await dataPlaneOf(place, stage, bucket, { REGISTRY_HTTP_SECRET });
    await client().must(400, { method: 'GET', path: begun });
    const next = await client().startUpload('team/changed');
    await client().must(201, { method: 'PUT', path: withDigest(next, digest), body: bytes });
  });

  // Late: a rule that is changed counts its first minute from when it was made.
  schedulesSuite(() => ({ place, stage }));

  it('keeps the images when it is removed, and serves them again', async () => {
    const { digest } = await client().pushImage('team/kept', 'v1');
    assert.match(await stage.remove(), new RegExp(bucket));
    await assert.rejects(stage.outputs(), /does not exist/);
    assert.doesNotMatch(await stage.deploy(), /^Password/m);
    const { headers } = await client().must(200, { method: 'HEAD', path: '/v2/team/kept/manifests/v1' });
    assert.equal(headers['docker-content-digest'], digest);
  });

  describe('without a data plane', () => {
    before(() => {
      stage.dataPlane = undefined;
    });

    rightsSuite(() => ({ place, stage, bucket, parameters: stage.parameters }));
  });
});
