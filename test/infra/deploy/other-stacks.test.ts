import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Account } from '../../../infra/deploy/account.ts';
import { remove } from '../../../infra/deploy/remove.ts';
import { readTemplate } from '../../../infra/deploy/stack.ts';

const stack = { name: 'stowage-other', status: 'CREATE_COMPLETE', changedAt: 0, outputs: {} };

const read = async (TemplateBody: string) => {
  const send = async () => await Promise.resolve({ TemplateBody });
  return await readTemplate({ cloudformation: { send } } as unknown as Account, stack);
};

describe('a stack that no deployment made', () => {
  it('is neither deployed nor removed', async () => {
    for (const template of ['Resources: {}', '{"Resources":{"Role":{"Type":"AWS::IAM::Role"}}}'])
      await assert.rejects(read(template), /stowage-other was made by something else/);
    await read('{"Resources":{"ServerlessDeploymentBucket":{"Type":"AWS::S3::Bucket"}}}');
  });

  it('is not asked for by the name of no stage', async (t) => {
    const errors: unknown[] = [];
    t.mock.method(console, 'error', (text: unknown) => errors.push(text));
    for (const stage of ['ci-preview', '../prod', 'Prod'])
      assert.equal(await remove({ stage, region: 'us-east-1', yes: true }), 1);
    assert.deepEqual(
      errors.map((text) => String(text).split(':')[0]),
      ['stage', 'stage', 'stage'],
    );
  });
});
