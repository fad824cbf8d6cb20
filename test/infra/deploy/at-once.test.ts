import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { applyPlan } from '../../../infra/deploy/apply.ts';
import type { Plan } from '../../../infra/deploy/plan.ts';
import { createSecret } from '../../../infra/deploy/secret-store.ts';
import { parametersWith } from '../stack/examples.ts';
import { Aws } from './aws.ts';

const name = 'stowage/dev/token';
const mine = { name, text: 'mine', version: '1' };

describe('a secret that was not there', () => {
  it('is stored by one of several deployments, and the other is refused', async () => {
    const { account, values } = new Aws();
    await createSecret(account, mine);
    await assert.rejects(
      createSecret(account, { name, text: 'other', version: '2' }),
      /run the command again/,
    );
    assert.deepEqual(values.get(name), { text: 'mine', version: '1' });
  });

  it('may have been stored by a request whose answer was lost', async () => {
    const { account } = new Aws();
    await createSecret(account, mine);
    await createSecret(account, mine);
  });

  it('gets its value if it was made without one', async () => {
    const { account, values } = new Aws();
    values.set(name, { text: undefined, version: '' });
    await createSecret(account, mine);
    assert.equal(values.get(name)?.text, 'mine');
  });
});

describe('a deployment that waited for its approval', () => {
  const stack = { name: 'stowage-dev', status: 'UPDATE_COMPLETE', changedAt: 1, outputs: {} };

  const planOf = ({ account }: Aws, storedVersion: string | undefined, deployed: Plan['stack']) => {
    const secret = {
      kind: 'token',
      rounds: [{ text: 'new', version: '9' }],
      storedVersion,
      note: '',
    } as const;
    return {
      target: { account, parameters: parametersWith() },
      stack: deployed,
      secrets: { secrets: [secret], user: undefined, faults: [] },
    } as unknown as Plan;
  };

  const apply = async (plan: Plan) =>
    await applyPlan(plan, {
      folder: '/nowhere',
      interrupted: new AbortController().signal,
      say: () => undefined,
    });

  it('writes nothing if a secret has another value by now', async () => {
    for (const storedVersion of [undefined, '0']) {
      const aws = new Aws();
      aws.values.set(name, { text: 'other', version: '2' });
      await assert.rejects(
        apply(planOf(aws, storedVersion, undefined)),
        /has changed the secret stowage\/dev\/token/,
      );
      assert.equal(aws.values.get(name)?.text, 'other');
    }
  });

  it('writes nothing if there is a stack by now, or another change of it', async () => {
    for (const deployed of [undefined, stack]) {
      const aws = new Aws();
      aws.stack = { StackStatus: 'UPDATE_COMPLETE', CreationTime: new Date(2) };
      await assert.rejects(apply(planOf(aws, undefined, deployed)), /has changed the stack stowage-dev/);
      assert.equal(aws.values.size, 0);
    }
  });
});
