import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { approve, refuseLoss, refuseOtherBucket } from '../../../infra/deploy/approval.ts';
import { compare, loseImages, needConfirmation } from '../../../infra/deploy/changes.ts';
import { showChanges } from '../../../infra/deploy/show-plan.ts';
import type { Plan } from '../../../infra/deploy/plan.ts';
import type { Package, Resource } from '../../../infra/deploy/template.ts';

const one = (
  Resources: Record<string, Resource>,
  code: Record<string, string> = {},
  Outputs = {},
): Package => ({
  template: { Resources, Outputs },
  code: new Map(Object.entries(code)),
});

const tags = (key: string, environment: Record<string, string> = {}): Resource => ({
  Type: 'AWS::Lambda::Function',
  Properties: { Code: { S3Key: key }, FunctionName: 'tags', Environment: environment },
});

const bucket = (name: string): Resource => ({ Type: 'AWS::S3::Bucket', Properties: { BucketName: name } });

const shown = (before: Package | undefined, after: Package) => showChanges(compare(before, after));

describe('what a deployment changes', () => {
  it('is all of a new stack, counted by type', () => {
    assert.deepEqual(shown(undefined, one({ A: tags('a'), B: tags('b'), Bucket: bucket('b') })), [
      '  + 2 AWS::Lambda::Function',
      '  + 1 AWS::S3::Bucket',
    ]);
  });

  it('is nothing when only the place of a package differs', () => {
    const before = one({ A: tags('serverless/1/a.zip') }, { A: 'hash' });
    assert.deepEqual(shown(before, one({ A: tags('serverless/2/a.zip') }, { A: 'hash' })), []);
  });

  it('is the code of a function whose hash differs', () => {
    const before = one({ A: tags('a') }, { A: 'old' });
    assert.deepEqual(shown(before, one({ A: tags('a') }, { A: 'new' })), [
      '  ~ A (AWS::Lambda::Function): Code',
    ]);
  });

  it('names each changed property, added and removed resources', () => {
    const before = one({ A: tags('a', { X: '1' }), Old: bucket('old') }, { A: 'hash' });
    const after = one({ A: tags('a', { X: '2' }), New: bucket('new') }, { A: 'hash' });
    assert.deepEqual(shown(before, after), [
      '  ~ A (AWS::Lambda::Function): Environment',
      '  + 1 AWS::S3::Bucket',
      '  - Old (AWS::S3::Bucket)',
    ]);
  });

  it('is outputs alone as well', () => {
    const before = one({}, {}, { RegistryUrl: { Value: 'a' } });
    assert.deepEqual(shown(before, one({}, {}, { RegistryUrl: { Value: 'b' } })), [
      '  ~ Outputs (of the stack)',
    ]);
  });

  it('counts more than six of a type', () => {
    const names = Array.from({ length: 7 }, (_, i) => `F${i}`);
    const all = (value: string) =>
      one(Object.fromEntries(names.map((name) => [name, tags('a', { X: value })])));
    const hashes = new Map(names.map((name) => [name, 'hash']));
    const changes = shown({ ...all('1'), code: hashes }, { ...all('2'), code: hashes });
    assert.deepEqual(changes, ['  ~ 7 AWS::Lambda::Function: Environment']);
  });

  it('is a retained bucket that would no longer be retained', () => {
    const before = one({ Bucket: { ...bucket('b'), DeletionPolicy: 'Retain' } });
    assert.deepEqual(shown(before, one({ Bucket: bucket('b') })), ['  ~ Bucket (AWS::S3::Bucket)']);
  });
});

describe('what a deployment takes away', () => {
  const changesOf = (before: Record<string, Resource>, after: Record<string, Resource>) =>
    compare(one(before), one(after));

  it('is images when their bucket is renamed or removed', () => {
    for (const after of [{ Bucket: bucket('b') }, {}])
      assert.equal(loseImages(changesOf({ Bucket: bucket('a') }, after)).length, 1);
  });

  it('is no images with the bucket of packages', () => {
    const changes = changesOf({ ServerlessDeploymentBucket: bucket('a') }, {});
    assert.deepEqual(loseImages(changes), []);
  });

  it('needs a yes for what holds data or has an address', () => {
    for (const [type, property] of [
      ['AWS::EC2::EIP', undefined],
      ['AWS::Logs::LogGroup', 'LogGroupName'],
      ['AWS::EC2::Instance', 'ImageId'],
      ['AWS::ApiGatewayV2::DomainName', 'DomainName'],
    ] as const) {
      const make = (value: string) => ({
        R: { Type: type, ...(property !== undefined && { Properties: { [property]: value } }) },
      });
      const changes = changesOf(make('a'), property === undefined ? {} : make('b'));
      assert.equal(needConfirmation(changes).length, 1, type);
    }
  });

  it('needs no yes for routes, permissions and alarms, nor for changes in place', () => {
    const removed = changesOf(
      {
        A: { Type: 'AWS::ApiGatewayV2::Route' },
        B: { Type: 'AWS::Lambda::Permission' },
        C: { Type: 'AWS::CloudWatch::Alarm' },
        Ready1: { Type: 'AWS::CloudFormation::WaitConditionHandle' },
        D: tags('a', { X: '1' }),
      },
      { D: tags('a', { X: '2' }) },
    );
    assert.equal(removed.length, 5);
    assert.deepEqual(needConfirmation(removed), []);
  });
});

describe('where nobody can be asked', () => {
  const planOf = (before: Record<string, Resource>, after: Record<string, Resource>) =>
    ({
      changes: compare(one(before), one(after)),
      target: { parameters: { stage: 'dev' } },
    }) as unknown as Plan;
  const address = { Address: { Type: 'AWS::EC2::EIP' } };

  it('a deployment goes on that replaces and removes nothing of value', async () => {
    assert.equal(await approve(planOf({}, address), false), true);
  });

  it('--yes is needed where something is removed, and suffices', async () => {
    await assert.rejects(
      approve(planOf(address, {}), false),
      /add --yes:\n {2}- Address \(AWS::EC2::EIP\) is removed$/,
    );
    assert.equal(await approve(planOf(address, {}), true), true);
  });

  it('a loss of images is refused whatever is answered, and in a dry run', () => {
    assert.throws(() => {
      refuseLoss(planOf({ Bucket: bucket('a') }, {}));
    }, /would lose its images/);
    const moved = { from: 'a (s3)', to: 'b (s3)' };
    assert.throws(() => {
      refuseOtherBucket('dev', { name: 'b', state: 'taken', overrides: {}, moved });
    }, /they are in a \(s3\), and it would look for them in b \(s3\)/);
  });
});
