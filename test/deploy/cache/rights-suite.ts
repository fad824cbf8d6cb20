import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { InvokeCommand } from '@aws-sdk/client-lambda';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import type { FunctionName } from '../../../infra/gateway.ts';
import type { Parameters } from '../../../infra/stack/parameters.ts';
import { rightsOf, type Right } from '../../../infra/stack/rights.ts';
import { parseDigest } from '../../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../../lib/protocol/names.ts';
import { blobData, copyClaim, layerLink } from '../../../lib/registry/layout.ts';
import { digestOf, someName } from '../../functions/client.ts';
import { UserClient } from '../client.ts';
import { DeployedFunction } from '../rights/take-away.ts';
import type { Place } from '../stage.ts';
import type { CachingStage } from './cache-suite.ts';
import { upstreamBucket } from './upstreams.ts';

const MiB = 1024 ** 2;

/** More than is copied without an upload, with parts. */
const largeBytes = 33 * MiB;

const root = 'docker/registry/v2';

const pauses = `${root}/cache/pauses/`;

const someDigest = digestOf(Buffer.from('any'));

const linkOf = (name: string, digest: string) =>
  layerLink(parseRepositoryName(`redirects/${name}`), parseDigest(digest));

/** Waits for a copy. */
async function comesTrue(isTrue: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 8_000;
  while (!(await isTrue())) {
    assert.ok(Date.now() < deadline, 'nothing was copied');
    await delay(100);
  }
}

/** Takes each right of caches away from each function, one at a time: something that the function does must fail. */
export function cacheRightsSuite(deployed: () => CachingStage & { readonly place: Place }): void {
  const client = () => {
    const { stage } = deployed();
    return new UserClient(`http://${stage.address}`, stage.user);
  };
  const get = async (status: number, path: string) => await client().must(status, { method: 'GET', path });

  async function pushed(size: number): Promise<{ readonly name: string; readonly digest: string }> {
    const name = someName();
    return { name, digest: await deployed().upstreams.client.pushBlob(name, randomBytes(size)) };
  }

  /** Runs `copy`, and waits for it. */
  async function copy(repository: string, digest: string): Promise<void> {
    const { place, stage } = deployed();
    const { FunctionError, Payload } = await place.emulator.aws.lambda.send(
      new InvokeCommand({
        FunctionName: stage.functionName('copy'),
        Payload: JSON.stringify({ repository, digest }),
      }),
    );
    assert.equal(FunctionError, undefined, Payload?.transformToString());
  }

  async function keys(Prefix: string): Promise<readonly string[]> {
    const { place, bucket } = deployed();
    const { Contents = [] } = await place.emulator.aws.s3.send(
      new ListObjectsV2Command({ Bucket: bucket, Prefix }),
    );
    return Contents.map(({ Key = '' }) => Key);
  }

  /** @param before keys of what was there of other copies */
  async function assertCopied(name: string, digest: string, before: readonly string[]): Promise<void> {
    assert.deepEqual(await keys(linkOf(name, digest)), [linkOf(name, digest)]);
    assert.deepEqual(
      (await traces()).filter((key) => !before.includes(key)),
      [],
    );
  }

  async function remove(prefix: string): Promise<void> {
    const { place, bucket } = deployed();
    for (const Key of await keys(prefix))
      await place.emulator.aws.s3.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
  }

  const claimKey = (digest: string) => copyClaim(deployed().upstreams.idOfRedirects, parseDigest(digest));

  /** Leaves the claim of somebody who is gone. */
  async function leave(Key: string): Promise<void> {
    const { place, bucket } = deployed();
    await place.emulator.aws.s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body: '{}' }));
  }

  /** What copies leave that do not end well. */
  async function traces(): Promise<readonly string[]> {
    const { place, bucket } = deployed();
    const { Uploads = [] } = await place.emulator.aws.s3.send(
      new ListMultipartUploadsCommand({ Bucket: bucket }),
    );
    const all = await Promise.all(
      ['uploads', 'cache/copies'].map(async (folder) => await keys(`${root}/${folder}/`)),
    );
    return [...all.flat(), ...Uploads.map(({ UploadId = '' }) => UploadId)];
  }

  /** Gives the blob of the upstream other bytes. */
  async function spoil(digest: string): Promise<void> {
    const { s3 } = deployed().place.emulator.aws;
    const object = { Bucket: upstreamBucket, Key: blobData(parseDigest(digest)) };
    const { Body } = await s3.send(new GetObjectCommand(object));
    const bytes = Buffer.from((await Body?.transformToByteArray()) ?? []);
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    await s3.send(new PutObjectCommand({ ...object, Body: bytes }));
  }

  /** That an upstream wants a pause is written, and read by another instance. */
  const limited = (ask: () => Promise<unknown>) => async (opened: DeployedFunction) => {
    const { place, bucket, upstreams } = deployed();
    const { s3 } = place.emulator.aws;
    await remove(pauses);
    await opened.restart();
    await ask();
    const [Key] = await keys(pauses);
    const until = Date.now() + 60_000;
    await s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body: JSON.stringify({ version: 1, until }) }));
    await opened.restart();
    const before = upstreams.refused();
    await ask();
    assert.equal(upstreams.refused(), before);
  };

  const operations: Partial<Record<FunctionName, readonly ((opened: DeployedFunction) => Promise<void>)[]>> =
    {
      copy: [
        limited(async () => {
          // A claim of a copy that has failed.
          await remove(`${root}/cache/copies/`);
          await copy(`limited/${someName()}`, someDigest);
        }),
        async () => {
          const { name, digest } = await pushed(largeBytes);
          await leave(claimKey(digest));
          const others = (await traces()).filter((key) => key !== claimKey(digest));
          await copy(`redirects/${name}`, digest);
          await assertCopied(name, digest, others);
        },
        async () => {
          for (const size of [largeBytes, 10 * MiB]) {
            const { name, digest } = await pushed(size);
            await spoil(digest);
            const before = await traces();
            await copy(`redirects/${name}`, digest);
            const left = (await traces()).filter((key) => !before.includes(key));
            // Nobody tries again for some minutes.
            assert.deepEqual(left, [claimKey(digest)]);
          }
        },
      ],
      blobs: [
        limited(async () => await get(429, `/v2/limited/${someName()}/blobs/${someDigest}`)),
        async () => {
          const { name, digest } = await pushed(10);
          await get(307, `/v2/sends/${name}/blobs/${digest}`);
        },
        async () => {
          const { name, digest } = await pushed(10);
          await get(307, `/v2/redirects/${name}/blobs/${digest}`);
          await comesTrue(async () => (await keys(linkOf(name, digest))).length === 1);
          const other = await pushed(10);
          await leave(claimKey(other.digest));
          await get(307, `/v2/redirects/${other.name}/blobs/${other.digest}`);
          await comesTrue(async () => (await keys(linkOf(other.name, other.digest))).length === 1);
        },
      ],
      tags: [limited(async () => await get(429, `/v2/limited/${someName()}/tags/list`))],
      manifests: [limited(async () => await get(429, `/v2/limited/${someName()}/manifests/v1`))],
    };

  describe('the rights of its caches', () => {
    for (const name of ['copy', 'blobs', 'tags', 'manifests'] as const)
      it(`${name} needs all that it has`, async () => {
        const { place, stage } = deployed();
        const opened = await DeployedFunction.open(place.emulator.aws, stage.functionName(name));
        const fails = async () => {
          for (const operation of operations[name] ?? [])
            try {
              await operation(opened);
            } catch (error) {
              return String(error);
            }
          return undefined;
        };
        assert.equal(await fails(), undefined);
        const needless: string[] = [];
        for (const [index, right] of rightsOf(name, stage.parameters).entries()) {
          if (right.source !== undefined || !isOfCaches(name, right, stage.parameters)) continue;
          for (const action of right.actions) {
            await opened.takeAway(index, action);
            await opened.restart();
            // By these, a claim is taken back if `copy` cannot be invoked, and `copy` goes on when its time is over: neither is so here.
            const isUnused =
              (name === 'blobs' && action === 's3:DeleteObject') ||
              (name === 'copy' && right.on === 'copy function');
            if (!isUnused && (await fails()) === undefined)
              needless.push(`${action} on ${JSON.stringify(right.on)}`);
            await opened.giveBack();
          }
        }
        await opened.restart();
        assert.deepEqual(needless, []);
      });
  });
}

/** Whether a right is one that other deployments have not, and no secret. */
function isOfCaches(name: FunctionName, right: Right, parameters: Parameters): boolean {
  const others = rightsOf(name, { ...parameters, settings: {} }).map((one) => JSON.stringify(one));
  return !(typeof right.on === 'object' && 'secret' in right.on) && !others.includes(JSON.stringify(right));
}
