import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Htpasswd } from '../../lib/access/htpasswd/htpasswd.ts';
import { noWarning } from '../access/htpasswd/lines.ts';
import { programFile } from '../servers/programs.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { cleanEnvironment, command } from '../servers/process.ts';
import { requires } from '../servers/requires.ts';

/** Runs `stowage htpasswd` with this on its standard input. */
async function htpasswd(args: readonly string[], input: string | Uint8Array) {
  const child = spawn(process.execPath, [programFile('lib/commands/stowage.ts'), 'htpasswd', ...args], {
    env: cleanEnvironment(),
  });
  child.stdin.on('error', () => undefined).end(input);
  const texts = Promise.all([child.stdout.toArray(), child.stderr.toArray()]);
  const [code] = (await once(child, 'close')) as [number];
  const [output = '', errors = ''] = (await texts).map((pieces) => Buffer.concat(pieces).toString());
  return { code, output, errors };
}

describe('stowage htpasswd', () => {
  for (const [password, input] of [
    ['correct horse', 'correct horse\n'],
    ['Grüße, 世界', 'Grüße, 世界\r\n'],
    ['x'.repeat(72), 'x'.repeat(72)],
  ] as const)
    it(`prints a line with which the user logs in by the password ${password}`, async () => {
      const { code, output, errors } = await htpasswd(['älice'], input);
      assert.deepEqual([code, errors], [0, '']);
      assert.match(output, /^älice:\$2y\$10\$[./A-Za-z0-9]{53}\n$/);
      const users = await Htpasswd.open({ kind: 'content', content: output }, { warn: noWarning });
      assert.equal((await users.verify('älice', password, undefined)).name, 'älice');
      await assert.rejects(users.verify('älice', `${password.slice(1)}?`, undefined));
      await users.close();
    });

  it('makes what htpasswd -v of Debian accepts', requires('htpasswd'), async () => {
    const folder = await temporaryFolder('htpasswd');
    const file = join(folder.path, 'users.htpasswd');
    writeFileSync(file, (await htpasswd(['alice', '--cost', '5'], 'correct horse\n')).output);
    await command('htpasswd', ['-bv', file, 'alice', 'correct horse']);
    await assert.rejects(command('htpasswd', ['-bv', file, 'alice', 'wrong']));
    folder.remove();
  });

  it('salts each line', async () => {
    const [one, two] = await Promise.all([
      htpasswd(['alice', '--cost=4'], 'secret\n'),
      htpasswd(['alice', '--cost=4'], 'secret\n'),
    ]);
    assert.match(one.output, /^alice:\$2y\$04\$/);
    assert.notEqual(one.output, two.output);
  });

  for (const [what, args, message] of [
    ['no name', [], 'the name of the user is missing'],
    ['a name with a colon', ['a:b'], 'the name of the user has a colon'],
    ['an empty name', [''], 'the name of the user is empty'],
    ['two names', ['alice', 'bob'], '"bob" is one argument too many'],
    ['a cost of 3', ['alice', '--cost', '3'], '--cost: "3" is not a number from 4 to 15'],
    ['a cost of 16', ['alice', '--cost', '16'], '--cost: "16" is not a number from 4 to 15'],
    ['an unknown option', ['alice', '--password=x'], '"--password" is not a known option'],
  ] as const)
    it(`refuses ${what} with exit code 2, and prints its usage`, async () => {
      const { code, output, errors } = await htpasswd(args, 'secret\n');
      assert.ok(errors.startsWith(`${message}\n\nUsage: stowage htpasswd NAME`), errors);
      assert.deepEqual([code, output], [2, '']);
    });

  for (const [what, input, message] of [
    ['no password', '', 'the password is empty'],
    ['an empty password', '\n', 'the password is empty'],
    ['two lines', 'one\ntwo\n', 'the password has a control character, which no client can send'],
    ['73 bytes', 'x'.repeat(73), 'the password has 73 bytes, but bcrypt uses only the first 72'],
    ['what is not UTF-8', Buffer.from('\u00fc', 'latin1'), 'the password is not text in UTF-8'],
    ['megabytes', 'x'.repeat(3_000_000), 'the password is too long'],
  ] as const)
    it(`refuses ${what} on standard input with exit code 1`, async () => {
      const { code, output, errors } = await htpasswd(['alice'], input);
      assert.ok(errors.startsWith(`htpasswd failed: ${message}`), errors);
      assert.deepEqual([code, output], [1, '']);
    });

  it('asks for the password twice at a terminal, and does not show it', requires('script'), async () => {
    const program = `${process.execPath} ${programFile('lib/commands/stowage.ts')} htpasswd alice --cost 4`;
    const answers = async (lines: string) => {
      const child = spawn('script', ['--quiet', '--return', '--command', program, '/dev/null'], {
        env: cleanEnvironment(),
      });
      let text = '';
      child.stdout.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
        if (piece.includes(': ')) child.stdin.write(`${lines.split(' ')[text.split(': ').length - 2]}\r`);
      });
      const [code] = (await once(child, 'close')) as [number];
      return { code, text };
    };
    const same = await answers('secret secret');
    assert.match(same.text, /^Password: \r\nThe same again: \r\nalice:\$2y\$04\$[./\w]{53}\r\n$/);
    assert.equal(same.code, 0);
    const other = await answers('secret others');
    assert.match(other.text, /the passwords differ/);
    assert.doesNotMatch(same.text + other.text, /secret|others/);
    assert.equal(other.code, 1);
  });
});
