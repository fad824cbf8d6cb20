import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readOptions } from './options.ts';

describe('the arguments of npm run test:clients', () => {
  it('npm run test:clients runs all clients by default', () => {
    assert.deepEqual(readOptions([]), { only: undefined });
    assert.deepEqual(readOptions(['--only', 'oras', '--only=helm']), { only: ['oras', 'helm'] });
    assert.equal(readOptions(['--help']), 'help');
  });

  const wrong: Readonly<Record<string, { args: string[]; says: RegExp }>> = {
    'an unknown client': {
      args: ['--only', 'docker'],
      says: /"docker" is none of oras, crane, regctl, helm, cosign, buildkit/,
    },
    'a client without its name': { args: ['--only'], says: /--only/ },
    'an unknown option': { args: ['--fast'], says: /--fast/ },
    'anything else': { args: ['oras'], says: /oras/ },
  };
  for (const [what, { args, says }] of Object.entries(wrong))
    it(`refuses arguments with ${what}`, () => {
      assert.throws(() => readOptions(args), says);
    });
});
