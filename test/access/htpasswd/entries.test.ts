import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HtpasswdError, parseEntries } from '../../../lib/access/htpasswd/entries.ts';
import { hashes, line, right } from './lines.ts';

const parse = (text: string) => parseEntries(text, 'users');

/** Its message, which must not have anything of a password or a hash. */
function faultsOf(text: string): string {
  try {
    parse(text);
  } catch (error) {
    assert.ok(error instanceof HtpasswdError);
    assert.doesNotMatch(error.message, /abcdefghij|secret/);
    return error.message;
  }
  assert.fail('no fault was found');
}

describe('a password file', () => {
  it('has a user on each line, trimmed, beside comments and empty lines', () => {
    const { users } = parse(
      `# users\n\n  ${line('alice', '2a')}  \r\n\t# and\n${line('bob', '2b')}\n${line('müller & sons', '2y')}`,
    );
    assert.deepEqual([...users.keys()], ['alice', 'bob', 'müller & sons']);
    assert.deepEqual(users.get('bob'), { name: 'bob', hash: line('', '2b').slice(1), cost: 4 });
  });

  it('tells the highest cost of its users', () => {
    const dearer = hashes[right].replace('$04$', '$11$');
    assert.equal(parse(`${line('alice')}\nbob:${dearer}\n${line('carol')}`).highestCost, 11);
    assert.equal(parse('').highestCost, 10);
  });

  for (const [what, text, fault] of [
    ['without a colon', 'secret', 'line 1 has no colon; a line is NAME:HASH'],
    ['without a name', `:${hashes[right]}`, 'line 1 has a user name that is empty'],
    ['with a control character', line('al\u0007ice'), 'line 1 has a user name that has a control character'],
    ['with a long name', line('a'.repeat(256)), 'line 1 has a user name that is longer than 255 bytes'],
    ['of MD5', 'alice:$apr1$secret$secret', 'line 1 has an MD5 hash, not bcrypt; make the line anew with: '],
    ['of SHA-1', 'alice:{SHA}secret', 'line 1 has a SHA-1 hash, not bcrypt; make'],
    ['of SHA-512', 'alice:$6$secret$secret', 'line 1 has a SHA-2 hash of crypt, not bcrypt; make'],
    ['in plain text', 'alice:secret', 'line 1 has no bcrypt hash; make'],
    ['of $2x$', `alice:${hashes[right].replace('2y', '2x')}`, 'line 1 has an incomplete bcrypt hash'],
    ['that is cut', line('alice').slice(0, -1), 'line 1 has an incomplete bcrypt hash; make'],
    ['of cost 3', line('a').replace('$04', '$03'), 'line 1 has bcrypt cost 3; it must be from 4 to 15'],
    ['of cost 16', line('a').replace('$04', '$16'), 'line 1 has bcrypt cost 16; it must be from 4 to 15'],
  ] as const)
    it(`refuses a line ${what}`, () => {
      const message = faultsOf(text);
      assert.ok(message.startsWith(`users cannot be used:\n  - ${fault}`), message);
    });

  it('refuses a user who is there twice, with both lines', () => {
    const text = [line('alice'), '', line('bob'), line('alice')].join('\n');
    assert.match(faultsOf(text), /line 4 has the same user as line 1; remove one of them$/);
  });

  it('has all its faults in one message, twenty at most', () => {
    assert.match(faultsOf(`a\n${line('b')}\nc`), /\n {2}- line 1 .*\n {2}- line 3 /);
    const many = faultsOf('secret\n'.repeat(30)).split('\n');
    assert.deepEqual([many.length, many.at(-1)], [22, '  - and 10 more']);
  });
});
