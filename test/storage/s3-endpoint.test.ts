import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sdkEndpoint } from '../../lib/storage/s3/client/aws-sdk.ts';
import { plainEndpoint } from '../../lib/storage/s3/client/endpoint.ts';

const credentials = { accessKeyId: 'some', secretAccessKey: 'secret' };
const inFunction = { AWS_LAMBDA_FUNCTION_NAME: 'registry' };

const regions = [
  'eu-central-1',
  'us-east-1',
  'cn-north-1',
  'us-gov-west-1',
  'ap-southeast-5',
  'mx-central-1',
];
const buckets = ['images', 'my.images', 'Images', 'under_score', 'a-b', '1-2', 'images-s3alias'];
const endpoints = [
  ...['http://127.0.0.1:9000', 'https://127.0.0.1', 'http://[::1]:9000', 'https://minio.example.com'],
  ...['http://minio.example.com:9000', 'https://s3.eu-central-1.amazonaws.com', 'http://localhost:9000'],
];

describe('the address of a bucket', () => {
  it("is the one that the SDK's rules give, in a function", async () => {
    for (const region of regions)
      for (const bucket of buckets)
        for (const forcePathStyle of [false, true]) {
          const place = { bucket, region, forcePathStyle };
          const plain = plainEndpoint(place, inFunction);
          assert.deepEqual(plain, await sdkEndpoint(place, credentials), JSON.stringify(place));
        }
  });

  it("is the one that the SDK's rules give, at an endpoint of its own", async () => {
    for (const endpoint of endpoints)
      for (const bucket of buckets)
        for (const forcePathStyle of [false, true]) {
          const place = { bucket, region: 'eu-central-1', endpoint, forcePathStyle };
          const plain = plainEndpoint(place, {});
          assert.deepEqual(plain, await sdkEndpoint(place, credentials), JSON.stringify(place));
        }
  });

  it('is left to the SDK where more than bucket and region may count', () => {
    const place = { bucket: 'images', region: 'eu-central-1', forcePathStyle: false };
    assert.equal(plainEndpoint(place, {}), undefined);
    for (const name of [
      'AWS_ENDPOINT_URL',
      'AWS_ENDPOINT_URL_S3',
      'AWS_USE_FIPS_ENDPOINT',
      'AWS_USE_DUALSTACK_ENDPOINT',
      'AWS_PROFILE',
    ])
      assert.equal(plainEndpoint(place, { ...inFunction, [name]: 'true' }), undefined);
    assert.equal(plainEndpoint({ ...place, region: 'us-iso-east-1' }, inFunction), undefined);
    assert.equal(plainEndpoint({ ...place, bucket: 'images--euc1-az1--x-s3' }, inFunction), undefined);
  });
});
