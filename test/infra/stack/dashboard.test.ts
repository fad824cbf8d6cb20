import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { templateOf } from '../../../infra/stack/stack.ts';
import { examples } from './examples.ts';

describe('the template of a stack', () => {
  it('has a dashboard of 50 metrics at most, which is free', () => {
    for (const [what, parameters] of Object.entries(examples)) {
      const body = JSON.stringify(templateOf(parameters).Resources['Dashboard']?.Properties);
      const metrics = body.match(/\[\\"AWS\/\w+/g) ?? [];
      assert.ok(metrics.length > 30 && metrics.length <= 50, `${metrics.length} with ${what}`);
    }
  });
});
