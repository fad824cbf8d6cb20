import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { templateOf } from '../../../infra/stack/stack.ts';
import { parametersWith } from './examples.ts';

describe('the template of a stack', () => {
  it('mails alarms where there is an address', () => {
    const actionsOf = (overrides: Readonly<Record<string, string>>) =>
      Object.values(templateOf(parametersWith(overrides)).Resources)
        .filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm')
        .map(({ Properties }) => Properties?.['AlarmActions']);
    assert.equal(actionsOf({}).length, 5);
    assert.deepEqual(new Set(actionsOf({}).map((one) => JSON.stringify(one))), new Set(['[]']));
    for (const actions of actionsOf({ alarmEmail: 'ops@example.com' }))
      assert.deepEqual(actions, [{ Ref: 'AlarmTopic' }]);
  });
});
