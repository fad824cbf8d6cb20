import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CreateSecretCommand,
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
} from '@aws-sdk/client-secrets-manager';
import type { Account } from '../../../infra/deploy/account.ts';
import { applyPlan } from '../../../infra/deploy/apply.ts';
import type { Plan } from '../../../infra/deploy/plan.ts';
import { createSecret } from '../../../infra/deploy/secret-store.ts';
import { parametersWith } from '../stack/examples.ts';

interface Value {
  readonly text: string | undefined;
  readonly version: string;
}

const named = (name: string) => Object.assign(new Error(name), { name });

/** Secrets Manager as far as a deployment uses it, and a stack. */
class Aws {
  readonly values = new Map<string, Value>();
  stack: { StackStatus: string; CreationTime: Date } | undefined;

  readonly account = {
    id: '123456789012',
    secrets: {
      send: async (command: unknown) => {
        await Promise.resolve();
        return this.#answer(command);
      },
    },
    cloudformation: {
      send: async () => {
        await Promise.resolve();
        if (this.stack === undefined) throw new Error('Stack with id stowage-dev does not exist');
        return { Stacks: [this.stack] };
      },
    },
  } as unknown as Account;

  #answer(command: unknown): object {
    if (command instanceof CreateSecretCommand) {
      const { Name = '', SecretString: text, ClientRequestToken: version = '' } = command.input;
      if (this.values.has(Name)) throw named('ResourceExistsException');
      this.values.set(Name, { text, version });
      return { VersionId: version };
    }
    if (command instanceof PutSecretValueCommand) {
      const { SecretId = '', SecretString: text, ClientRequestToken: version = '' } = command.input;
      if (!this.values.has(SecretId)) throw named('ResourceNotFoundException');
      this.values.set(SecretId, { text, version });
      return {};
    }
    assert.ok(command instanceof GetSecretValueCommand || command instanceof DescribeSecretCommand);
    const value = this.values.get(command.input.SecretId ?? '');
    if (value === undefined) throw named('ResourceNotFoundException');
    if (command instanceof DescribeSecretCommand) return {};
    if (value.text === undefined) throw named('ResourceNotFoundException');
    return { SecretString: value.text, VersionId: value.version };
  }
}

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

  const apply = async (plan: Plan) => await applyPlan(plan, '/nowhere', () => undefined);

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
