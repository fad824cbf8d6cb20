import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeJwt } from 'jose';
import { readRobotToken } from '../../lib/access/tokens/private-tokens.ts';
import { publicKeyText, robotTokenKeys } from '../../lib/access/tokens/keys.ts';
import { UsageError } from '../../lib/commands/command.ts';
import { command } from '../../lib/commands/token.ts';
import { runStowage } from '../infra/run-node.ts';
import { keepSecrets } from '../logs/kept.ts';

const secret = 'a secret of a test that is long enough';
const settings = {
  REGISTRY_AUTH: 'policy',
  REGISTRY_AUTH_POLICY_PATH: '/etc/stowage/policy.yaml',
  REGISTRY_AUTH_POLICY_SECRET: secret,
  REGISTRY_AUTH_POLICY_SERVICE: 'registry.example.com',
};
keepSecrets(settings);
// For commands that run in this process.
Object.assign(process.env, settings);

const token = async (args: readonly string[], env: Readonly<Record<string, string>> = settings) =>
  await runStowage(['token', ...args], env);

describe('stowage token create', () => {
  it('prints a password on standard output, and on standard error how it is used', async () => {
    const { code, output, errors } = await token(['create', '--name', 'ci-backup', '--expires', '90d']);
    assert.equal(code, 0, errors);
    assert.match(output, /^stowage_robot_[\w.-]+\n$/);
    assert.match(
      errors,
      /^The user name is ci-backup; the password expires at \d{4}-\d\d-\d\dT[\d:.]+Z\.\n$/,
    );
    assert.ok(!errors.includes(output.trim()));
  });

  it('puts name, grants and end into it, and grants pull with push', async () => {
    const patterns = [
      '--pull',
      'team/**',
      '--pull',
      'base',
      '--push',
      'team/app',
      '--delete=old/*',
      '--list',
      '**',
    ];
    const { output } = await token(['create', '--name', 'ci', '--expires', '12h', ...patterns]);
    const password = output.trim();
    const read = await readRobotToken(robotTokenKeys([secret]), 'registry.example.com', password);
    assert.deepEqual(read?.robot.grants, [
      { actions: ['pull'], repositories: ['team/**', 'base'] },
      { actions: ['pull', 'push'], repositories: ['team/app'] },
      { actions: ['delete'], repositories: ['old/*'] },
      { actions: ['list'], repositories: ['**'] },
    ]);
    assert.equal(read.robot.name, 'ci');
    const { iat = 0, exp } = decodeJwt(password.replace('stowage_robot_', ''));
    assert.ok(Math.abs(Date.now() / 1000 - iat) < 60);
    assert.equal(exp, read.expires);
    assert.ok(Math.abs(read.expires - iat - 12 * 3600) <= 1);
  });

  it('leaves a robot without patterns to the rules', async () => {
    const { output } = await token(['create', '--name', 'ci', '--expires', '1h']);
    const read = await readRobotToken(robotTokenKeys([secret]), 'registry.example.com', output.trim());
    assert.ok(read !== undefined);
    assert.equal(read.robot.grants, undefined);
  });

  it('signs with REGISTRY_HTTP_SECRET where there is no other', async () => {
    const { REGISTRY_AUTH_POLICY_SECRET: REGISTRY_HTTP_SECRET, ...env } = settings;
    const { output } = await token(['create', '--name', 'ci', '--expires', '1h'], {
      ...env,
      REGISTRY_HTTP_SECRET,
    });
    assert.ok(await readRobotToken(robotTokenKeys([secret]), 'registry.example.com', output.trim()));
  });

  const many = (count: number, pattern: (index: number) => string) =>
    Array.from({ length: count }, (_, index) => ['--pull', pattern(index)]).flat();

  it('takes 20 patterns of usual length', async () => {
    const patterns = many(20, (index) => `a-team-with-a-long-name/and-its-service-${index}/**`);
    assert.equal((await token(['create', '--name', 'ci', '--expires', '1h', ...patterns])).code, 0);
  });

  const refused: Readonly<Record<string, readonly [args: readonly string[], said: RegExp]>> = {
    'no name': [['--expires', '1d'], /needs --name/],
    'a lifetime of six years': [['--name', 'ci', '--expires', '2190d'], /--expires: .*five years \(1826d\)/],
    'a name with a colon': [['--name', 'robot:ci', '--expires', '1d'], /--name: must be/],
    'a name in capitals': [['--name', 'CI', '--expires', '1d'], /--name: must be/],
    'a long name': [['--name', 'c'.repeat(65), '--expires', '1d'], /--name: must be/],
    'no end': [['--name', 'ci'], /needs --expires/],
    ...Object.fromEntries(
      ['never', '0d', '-1d', '1.5d', '90', '1w', '12345d', '1h30m'].map((text) => [
        `--expires=${text}`,
        [['--name', 'ci', `--expires=${text}`], /--expires: ".*" is not a duration such as 90d or 12h/],
      ]),
    ),
    ...Object.fromEntries(
      ['', 'Team/*', 'team//app', '/team', '${user}/**', 'team/app:v1', 'a'.repeat(256)].map((text) => [
        `the pattern ${text.slice(0, 20)}`,
        [['--name', 'ci', '--expires=1d', `--push=${text}`], /--push: /],
      ]),
    ),
    '21 patterns': [
      ['--name=ci', '--expires=1d', ...many(21, String)],
      /21 patterns are too many: 20 are the most/,
    ],
    'patterns that are long': [
      ['--name=ci', '--expires=1d', ...many(20, (index) => `${'a'.repeat(200)}${index}`)],
      /credential stores keep 2500; use fewer or shorter patterns/,
    ],
    'an unknown option': [
      ['--name=ci', '--expire=1d'],
      /"--expire" is not a known option; did you mean --expires/,
    ],
  };
  for (const [what, [args, said]] of Object.entries(refused))
    it(`refuses ${what} and prints no password`, async (test) => {
      const printed = test.mock.method(console, 'log', () => undefined);
      await assert.rejects(command.run(['create', ...args]), (error) => {
        assert.ok(error instanceof UsageError, String(error));
        assert.match(error.message, said);
        return true;
      });
      assert.equal(printed.mock.callCount(), 0);
    });

  it('exits with 2 where its arguments are wrong', async () => {
    assert.equal((await token(['create', '--name', 'ci'])).code, 2);
  });

  for (const [what, env, said] of [
    ['REGISTRY_AUTH is not policy', { REGISTRY_AUTH: 'none' }, /REGISTRY_AUTH is not policy/],
    ['nothing is set', {}, /REGISTRY_AUTH is not policy/],
    [
      'there is no secret',
      { REGISTRY_AUTH: 'policy', REGISTRY_AUTH_POLICY_PATH: '/policy.yaml' },
      /there is no secret to sign with; set REGISTRY_AUTH_POLICY_SECRET/,
    ],
    [
      'there are public keys alone',
      {
        REGISTRY_AUTH: 'policy',
        REGISTRY_AUTH_POLICY_PATH: '/policy.yaml',
        REGISTRY_AUTH_POLICY_PUBLICKEYS: publicKeyText(secret),
      },
      /there is no secret to sign with/,
    ],
    ['the secret is short', { ...settings, REGISTRY_AUTH_POLICY_SECRET: 'short' }, /32 characters at least/],
  ] as const)
    it(`fails where ${what}`, async () => {
      const { code, output, errors } = await token(['create', '--name=ci', '--expires=1d'], env);
      assert.match(errors, said);
      assert.notEqual(code, 0);
      assert.equal(output, '');
      assert.ok(!errors.includes('short\n'));
    });
});

describe('stowage token keys', () => {
  it('prints the public key of each secret', async () => {
    const previous = 'the previous secret of a test, as long';
    const { code, output } = await token(['keys'], {
      ...settings,
      REGISTRY_AUTH_POLICY_SECRET_PREVIOUS: previous,
    });
    assert.deepEqual([code, output], [0, `${publicKeyText(secret)}\n${publicKeyText(previous)}\n`]);
  });

  it('takes no options of create', async () => {
    const { code, errors } = await token(['keys', '--name', 'ci']);
    assert.equal(code, 2);
    assert.match(errors, /--name is an option of stowage token create/);
  });

  it('is one of two words', async () => {
    assert.match((await token([])).errors, /say what to do: create or keys/);
    assert.match((await token(['key'])).errors, /"key" is not a known argument; did you mean keys/);
  });
});
