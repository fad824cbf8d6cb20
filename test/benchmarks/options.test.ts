import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { cleanEnvironment } from '../servers/process.ts';
import { readOptions } from './options.ts';

describe('the arguments of npm run bench', () => {
  it('npm run bench measures all rows by default', () => {
    assert.deepEqual(readOptions([]), {
      ...{ quick: false, rows: undefined, rounds: undefined, json: undefined, compare: undefined },
      ...{ ours: [], zot: 'zot', write: false, list: false },
    });
    assert.equal(readOptions(['--help']), 'help');
  });

  it('npm run bench takes rows by a pattern, and other checkouts', () => {
    const options = readOptions(['--rows', '^s3/', '--rounds=5', '--ours', '/a', '--ours', '/b']);
    assert.ok(options !== 'help');
    assert.deepEqual([options.rows, options.rounds, options.ours], [/^s3\//, 5, ['/a', '/b']]);
  });

  const wrong: Readonly<Record<string, { args: string[]; says: RegExp }>> = {
    'a pattern that is none': { args: ['--rows', '('], says: /--rows: "\(" is no regular expression/ },
    'no rounds': { args: ['--rounds', '0'], says: /--rounds: "0" is no number/ },
    'an unknown option': { args: ['--fast'], says: /--fast/ },
    'anything else': { args: ['512'], says: /512/ },
  };
  for (const [what, { args, says }] of Object.entries(wrong))
    it(`refuses arguments with ${what}`, () => {
      assert.throws(() => readOptions(args), says);
    });

  it('npm run bench and npm run flame print their usage and exit with 2 for wrong arguments', () => {
    for (const [program, argument] of [
      ['bench', '--fast'],
      ['flame', 'no/row'],
    ] as const) {
      const { status, stderr } = run(program, argument);
      assert.equal(status, 2);
      assert.match(stderr, new RegExp(`\\n\\nUsage: npm run ${program} -- `));
    }
  });

  it('npm run bench says that no row has a name', () => {
    const { status, stderr } = run('bench', '--rows', 'no/row');
    assert.equal(status, 1);
    assert.match(stderr, /no row has such a name/);
  });
});

function run(program: string, ...args: string[]) {
  const file = join(import.meta.dirname, `${program}.ts`);
  return spawnSync(process.execPath, [file, ...args], { env: cleanEnvironment(), encoding: 'utf8' });
}
