import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { describe, it } from 'node:test';
import { CreateSecretCommand } from '@aws-sdk/client-secrets-manager';
import { carryOut } from '../../../infra/deploy/carry-out.ts';
import { endOf, untilInterrupted } from '../../../infra/deploy/interruption.ts';
import type { Plan } from '../../../infra/deploy/plan.ts';
import { parametersWith } from '../stack/examples.ts';
import { Aws } from './aws.ts';

const user = { name: 'admin', password: 'shown-once' };

const planOf = ({ account }: Aws) => {
  const secrets = (['http', 'token', 'htpasswd'] as const).map((kind) => ({
    kind,
    rounds: [{ text: kind, version: kind }],
    storedVersion: undefined,
    note: '',
  }));
  return {
    target: { account, parameters: parametersWith() },
    stack: undefined,
    changes: [],
    restores: [],
    secrets: { secrets, user, faults: [] },
  } as unknown as Plan;
};

/** Deploys, and sends this process a signal while a secret is made. */
const deployUntil = async (signal: NodeJS.Signals, secret: string) => {
  const aws = new Aws();
  aws.onRequest = async (command) => {
    if (!(command instanceof CreateSecretCommand) || command.input.Name !== secret) return;
    const received = once(process, signal);
    process.kill(process.pid, signal);
    await received;
  };
  const lines: string[] = [];
  const say = (text: string) => {
    lines.push(text);
  };
  const code = await untilInterrupted(async (interrupted) => {
    return await carryOut(planOf(aws), { folder: '/nowhere', interrupted, say });
  });
  return { code, printed: lines.join('\n'), secrets: [...aws.values.keys()] };
};

describe('a deployment that is interrupted', () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    it(`ends at ${signal}, and shows a password that is stored`, async () => {
      const { code, printed, secrets } = await deployUntil(signal, 'stowage/dev/htpasswd');
      assert.equal(code, 128 + constants.signals[signal]);
      assert.equal(secrets.length, 3);
      assert.match(printed, /Password {2}shown-once/);
      assert.doesNotMatch(printed, /Deploying/);
    });

  it('writes no further secret, and shows no password that is not stored', async () => {
    const { code, printed, secrets } = await deployUntil('SIGTERM', 'stowage/dev/http');
    assert.equal(code, 143);
    assert.ok(!secrets.includes('stowage/dev/htpasswd'));
    assert.equal(printed, '');
  });

  it('ends the process that it waits for', async () => {
    const child = spawn(process.execPath, ['--eval', 'console.log(1); setInterval(() => {}, 1000)']);
    await untilInterrupted(async (interrupted) => {
      const end = endOf(child, interrupted);
      await once(child.stdout, 'data');
      process.kill(process.pid, 'SIGTERM');
      assert.equal(await end, undefined);
    });
    assert.equal(child.signalCode, 'SIGTERM');
  });
});
