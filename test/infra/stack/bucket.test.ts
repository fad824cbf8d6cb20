import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { templateOf } from '../../../infra/stack/stack.ts';
import { parametersWith } from './examples.ts';
import { statementsIn } from './statements.ts';

describe('the template of a stack', () => {
  it('makes a private and encrypted bucket that takes TLS only, keeps no versions and outlives the stack', () => {
    const { Bucket, BucketPolicy } = templateOf(parametersWith()).Resources;
    assert.deepEqual([Bucket?.DeletionPolicy, Bucket?.UpdateReplacePolicy], ['Retain', 'Retain']);
    const { PublicAccessBlockConfiguration, OwnershipControls, ...rest } = Bucket?.Properties ?? {};
    assert.deepEqual(PublicAccessBlockConfiguration, {
      BlockPublicAcls: true,
      BlockPublicPolicy: true,
      IgnorePublicAcls: true,
      RestrictPublicBuckets: true,
    });
    assert.deepEqual(OwnershipControls, { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] });
    assert.match(JSON.stringify(rest['BucketEncryption']), /"SSEAlgorithm":"AES256"/);
    assert.equal(rest['VersioningConfiguration'], undefined);
    // No rule may expire what the registry needs.
    assert.deepEqual(rest['LifecycleConfiguration'], {
      Rules: [
        {
          Id: 'unfinished-multipart-uploads',
          Status: 'Enabled',
          AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 },
        },
      ],
    });
    const arn = ['arn:', { Ref: 'AWS::Partition' }, ':s3:::', { 'Fn::Sub': 'stowage-dev-${AWS::AccountId}' }];
    assert.deepEqual(BucketPolicy?.Properties?.['Bucket'], { Ref: 'Bucket' });
    assert.deepEqual(statementsIn(BucketPolicy), [
      {
        Sid: 'OnlyTls',
        Effect: 'Deny',
        Principal: '*',
        Action: 's3:*',
        // The bucket, and its objects.
        Resource: ['', '/*'].map((keys) => ({ 'Fn::Join': ['', [...arn, keys]] })),
        Condition: { Bool: { 'aws:SecureTransport': 'false' } },
      },
    ]);
  });

  it('changes nothing of a bucket that is there', () => {
    const { Resources, Outputs } = templateOf(parametersWith({ existingBucket: 'images' }));
    assert.ok(!Object.values(Resources).some(({ Type }) => Type.startsWith('AWS::S3::')));
    assert.equal(Outputs['Bucket']?.Value, 'images');
  });

  it('says where the images are, without an empty output', () => {
    const placeOf = (overrides: Readonly<Record<string, string>>) => {
      const { Store, Bucket, RootDirectory } = templateOf(parametersWith(overrides)).Outputs;
      return [Store, Bucket, RootDirectory].map((output) => output?.Value);
    };
    assert.deepEqual(placeOf({ bucket: 'images' }), ['s3', 'images', '/']);
    const scs = { storage: 'scs', scsBucket: 'images', rootDirectory: 'team/x' };
    const place = ['scs at bjcnc.scs.sohucs.com', 'images', '/team/x'];
    assert.deepEqual(placeOf({ ...scs, scsRegion: 'bjcnc' }), place);
    assert.deepEqual(placeOf({ ...scs, scsEndpoint: 'https://bjcnc.scs.sohucs.com/' }), place);
  });
});
