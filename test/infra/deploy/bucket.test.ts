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

  it('is taken if it is of the account, and made if there is none', async () => {
    assert.equal((await plan({ existingBucket: 'mine' })).state, 'taken');
    assert.equal((await plan({ bucket: 'new' })).state, 'made');
  });
});
