import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cleanEnvironment } from '../servers/process.ts';
import { readOptions } from './options.ts';

describe('the arguments of npm run conformance', () => {
  it('npm run conformance tests all registries by default', () => {
    assert.deepEqual(readOptions([]), { only: undefined, write: false });
    assert.deepEqual(readOptions(['--write']), { only: undefined, write: true });
    assert.deepEqual(readOptions(['--only', 'scs', '--only=start']), {
      only: ['scs', 'start'],
      write: false,
    });
    assert.equal(readOptions(['--help']), 'help');
  });

  const wrong: Readonly<Record<string, { args: string[]; says: RegExp }>> = {
    'an unknown registry': {
      args: ['--only', 'azure'],
      says: /"azure" is none of folder, swift, scs, start/,
    },
    'a registry without its name': { args: ['--only'], says: /--only/ },
    'an unknown option': { args: ['--fast'], says: /--fast/ },
    'anything else': { args: ['folder'], says: /folder/ },
    'results of some that are to be written': { args: ['--only', 'scs', '--write'], says: /without --only/ },
  };
  for (const [what, { args, says }] of Object.entries(wrong))
    it(`refuses arguments with ${what}`, () => {
      assert.throws(() => readOptions(args), says);
    });

  it('npm run conformance prints its usage and exits with 2 for wrong arguments and with 0 for --help', () => {
    const wrongOne = run('--only', 'azure');
    assert.equal(wrongOne.status, 2);
    assert.match(wrongOne.stderr, /^--only: "azure" is none of .*\n\nUsage: npm run conformance/);
    const help = run('--help');
    assert.equal(help.status, 0);
    assert.match(help.stdout, /^Usage: npm run conformance/);
  });

  it('npm run conformance fails if Go is missing', () => {
    const { status, stderr } = run('--only', 'folder', { PATH: '/nowhere' });
    assert.equal(status, 1);
    assert.equal(stderr, 'npm run conformance needs Go 1.24 or newer; there is no go on the PATH\n');
  });
});

function run(...args: (string | NodeJS.ProcessEnv)[]) {
  const program = fileURLToPath(new URL('conformance.ts', import.meta.url));
  const texts = args.filter((arg) => typeof arg === 'string');
  const env = cleanEnvironment(args.find((arg) => typeof arg === 'object'));
  return spawnSync(process.execPath, [program, ...texts], { encoding: 'utf8', env });
}
