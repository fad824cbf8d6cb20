import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { firstPolicy } from '../../../infra/deploy/first-policy.ts';
import { actions, type Identity } from '../../../lib/access/access.ts';
import { parsePolicy } from '../../../lib/access/policy/parse.ts';

describe('the first policy', () => {
  const policy = parsePolicy(firstPolicy('admin'));
  const allowed = (identity: Identity, repository: string) =>
    actions.filter((action) => policy.decide(identity, action, repository).allowed);
  const others: readonly Identity[] = [{ kind: 'anonymous' }, { kind: 'user', name: 'other' }];

  it('lets everybody pull and list below public/, and do nothing else', () => {
    for (const other of others) {
      for (const repository of ['public/app', 'public/team/app'])
        assert.deepEqual(allowed(other, repository), ['pull', 'list']);
      for (const repository of ['team/app', 'publicity', 'team/public/app'])
        assert.deepEqual(allowed(other, repository), []);
    }
  });

  it('lets the administrator do everything', () => {
    for (const repository of ['public/app', 'team/app', 'app'])
      assert.deepEqual(allowed({ kind: 'user', name: 'admin' }, repository), actions);
  });
});
