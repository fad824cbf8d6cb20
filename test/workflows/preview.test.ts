import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { atExit } from '../servers/cleanup.ts';
import { requires } from '../servers/requires.ts';
import { htpasswdOf } from '../access/policy-registry.ts';
import { emulatedAccount, type EmulatedAccount } from './emulated-account.ts';
import { runJob } from './run-job.ts';

const subject = 'repo:team/stowage:environment:preview';

/** No pull request of this project has this number. */
const number = '4294967295';

const stages = join(import.meta.dirname, '../../stages');
const parameters = join(stages, `pr-${number}.yml`);

/** The commands of the workflow, with the role of CI, whose rights the emulator enforces. */
describe('the preview of a pull request', requires('ministack'), () => {
  let account: EmulatedAccount;
  let forget: () => void;

  before(async () => {
    const role = { Environment: 'preview', Subject: subject, Stage: 'pr-*', DeleteImages: 'true' };
    account = await emulatedAccount(role);
    forget = atExit(() => {
      rmSync(parameters, { force: true });
    });
    mkdirSync(stages, { recursive: true });
    const settings = { REGISTRY_STORAGE_S3_REGIONENDPOINT: account.url };
    // There is the emulator's S3.
    writeFileSync(parameters, JSON.stringify({ settings }));
  });

  after(async () => {
    rmSync(parameters, { force: true });
    forget();
    await account.stop();
  });

  const run = async (job: 'deploy' | 'remove') =>
    await runJob('preview', job, {
      context: {
        'github.event.number': number,
        'vars.AWS_BOUNDARY': account.boundary,
        'secrets.REGISTRY_AUTH_HTPASSWD_CONTENT': await htpasswdOf(['admin']),
      },
      env: await account.credentialsOf(subject),
      // What is installed is there; the host of the gateway and the AWS CLI are not.
      without: ['Install', 'Push and pull as a user', 'Delete the images'],
    });

  it('is deployed by the role of CI', async () => {
    const results = await run('deploy');
    const all = results.map(({ output }) => output).join('');
    assert.deepEqual(
      results.map(({ name, code }) => ({ name, code })),
      [
        { name: 'Check that there are users', code: 0 },
        { name: 'Deploy', code: 0 },
      ],
      all,
    );
    assert.match(
      results.at(-1)?.outputs['url'] ?? '',
      /^https:\/\/\w+\.execute-api\.[\w-]+\.amazonaws\.com$/,
    );
    assert.doesNotMatch(all, /Password/);
  });

  it('is removed by the role of CI', async () => {
    const [removed] = await run('remove');
    assert.equal(removed?.code, 0, removed?.output);
  });

  it('is no other environment: its token gets no role', async () => {
    await assert.rejects(account.credentialsOf('repo:team/stowage:environment:production'), {
      name: /AccessDenied/,
    });
    await assert.rejects(account.credentialsOf('repo:fork/stowage:environment:preview'), {
      name: /AccessDenied/,
    });
  });
});
