import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { S3Client } from '@aws-sdk/client-s3';
import type { Account } from '../../../infra/deploy/account.ts';
import { planBucket } from '../../../infra/deploy/bucket.ts';
import { parametersWith } from '../stack/examples.ts';

const id = '123456789012';
const nothing = { stack: undefined, template: undefined };

/** Answers as S3 does for buckets of several owners, one of which nobody else may read. */
describe('the bucket of a deployment', () => {
  const owners: Readonly<Record<string, string>> = {
    mine: id,
    'stowage-dev-123456789012': '999999999999',
    private: '999999999999',
  };
  const server = createServer(({ url = '', headers }, response) => {
    const [name = ''] = url.slice(1).split(/[/?]/);
    const expected = headers['x-amz-expected-bucket-owner'];
    const owner = owners[name];
    response.statusCode =
      owner === undefined
        ? 404
        : name === 'private' || (expected !== undefined && expected !== owner)
          ? 403
          : 200;
    response.end();
  });
  let account: Account;

  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const s3 = new S3Client({
      region: 'eu-central-1',
      endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      forcePathStyle: true,
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    });
    account = { id, region: 'eu-central-1', s3 } as Account;
  });

  after(() => {
    server.close();
    server.closeAllConnections();
  });

  const plan = async (overrides: Readonly<Record<string, string>> = {}) =>
    await planBucket(account, parametersWith(overrides), nothing);

  it('is not one of another account that has its name', async () => {
    await assert.rejects(plan(), /belongs to another account than 123456789012.*bucket=NAME/);
    const existingBucket = 'stowage-dev-123456789012';
    await assert.rejects(plan({ existingBucket }), /belongs to another account than/);
    await assert.rejects(plan({ bucket: 'private' }), /another account, or these credentials lack/);
  });

  const movedFrom = async (
    outputs: Readonly<Record<string, string>>,
    overrides: Readonly<Record<string, string>>,
  ) => {
    const stack = { name: 'stowage-dev', status: 'UPDATE_COMPLETE', changedAt: 0, outputs };
    const { moved } = await planBucket(account, parametersWith(overrides), { stack, template: undefined });
    return moved;
  };

  it('moves with another store, bucket or folder', async () => {
    const mine = { existingBucket: 'mine' };
    const deployed = { Store: 's3', Bucket: 'mine', RootDirectory: '/team' };
    assert.equal(await movedFrom(deployed, { ...mine, rootDirectory: 'team' }), undefined);
    assert.deepEqual(await movedFrom(deployed, mine), { from: 'mine/team (s3)', to: 'mine (s3)' });
    assert.deepEqual(await movedFrom(deployed, { bucket: 'new', rootDirectory: 'team' }), {
      from: 'mine/team (s3)',
      to: 'new/team (s3)',
    });
    const scs = { storage: 'scs', scsBucket: 'mine', scsRegion: 'bjcnc', rootDirectory: 'team' };
    assert.equal((await movedFrom(deployed, scs))?.to, 'mine/team (scs at bjcnc.scs.sohucs.com)');
  });

  it('may be updated where an earlier version has deployed it, which named the bucket only', async () => {
    assert.equal(await movedFrom({ Bucket: 'mine' }, { existingBucket: 'mine' }), undefined);
    assert.equal(await movedFrom({}, { existingBucket: 'mine', rootDirectory: 'team' }), undefined);
    assert.ok((await movedFrom({ Bucket: 'other' }, { existingBucket: 'mine' })) !== undefined);
  });

  it('is taken if it is of the account, and made if there is none', async () => {
    assert.equal((await plan({ existingBucket: 'mine' })).state, 'taken');
    assert.equal((await plan({ bucket: 'new' })).state, 'made');
  });
});
