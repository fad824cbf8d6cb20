import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { basicCredentials } from '../../lib/access/basic.ts';

const encode = (text: string) => Buffer.from(text).toString('base64');

describe('an Authorization header of the Basic scheme', () => {
  for (const [user, password] of [
    ['alice', 'secret'],
    ['alice', 'with:colons:'],
    ['älice', 'Grüße, 世界'],
    ['\ufeffalice', ''],
    ['', ''],
  ] as const)
    it(`has the name ${JSON.stringify(user)} and the password ${JSON.stringify(password)}`, () => {
      assert.deepEqual(basicCredentials(`Basic ${encode(`${user}:${password}`)}`), { user, password });
    });

  it('may be in any case, with blanks around and without padding', () => {
    const expected = { user: 'alice', password: 'secret' };
    const encoded = encode('alice:secret');
    for (const header of [`basic  ${encoded} `, `BASIC ${encoded.replace(/=+$/, '')}`])
      assert.deepEqual(basicCredentials(header), expected);
  });

  it('may be missing', () => {
    assert.equal(basicCredentials(undefined), undefined);
  });

  for (const [what, header] of [
    ['another scheme', `Bearer ${encode('alice:secret')}`],
    ['nothing', ''],
    ['the scheme alone', 'Basic'],
    ['what is no base64', 'Basic alice:secret'],
    ['two words', `Basic ${encode('alice:secret')} more`],
    ['no colon', `Basic ${encode('alice')}`],
    ['a control character', `Basic ${encode('alice:sec\u0000ret')}`],
    ['Latin-1', `Basic ${Buffer.from('älice:secret', 'latin1').toString('base64')}`],
  ] as const)
    it(`is refused with ${what}`, () => {
      assert.throws(() => basicCredentials(header), { failure: 'UNAUTHORIZED' });
    });
});
