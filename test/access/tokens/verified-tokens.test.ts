import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import { VerifiedTokens } from '../../../lib/access/tokens/verified-tokens.ts';

/** Seconds since 1970. */
const start = 1_800_000_000;

describe('verified tokens', () => {
  let tokens: VerifiedTokens<string>;
  let verifications: string[];

  /** Reads a token that is valid for an hour from the start. */
  const read = async (token: string) =>
    await tokens.read(token, async () => {
      verifications.push(token);
      return await Promise.resolve({ value: `what ${token} says`, until: start + 3_600 });
    });

  beforeEach(() => {
    mock.timers.enable({ apis: ['Date'], now: start * 1000 });
    tokens = new VerifiedTokens();
    verifications = [];
  });

  afterEach(() => {
    mock.timers.reset();
  });

  it('are verified once', async () => {
    for (const token of ['one', 'two', 'one']) assert.equal(await read(token), `what ${token} says`);
    assert.deepEqual(verifications, ['one', 'two']);
  });

  it('are verified again once they have expired', async () => {
    await read('one');
    mock.timers.setTime((start + 3_600) * 1000 - 1);
    await read('one');
    assert.equal(verifications.length, 1);
    mock.timers.setTime((start + 3_600) * 1000);
    const late = async () => await Promise.reject(new Error('expired'));
    await assert.rejects(async () => await tokens.read('one', late), { message: 'expired' });
  });

  it('are verified again when the clock has been set back', async () => {
    await read('one');
    mock.timers.setTime(start * 1000 - 1);
    await read('one');
    assert.equal(verifications.length, 2);
  });

  it('are not remembered when they are not valid', async () => {
    const refuse = async () => await Promise.reject(new Error('not valid'));
    await assert.rejects(async () => await tokens.read('one', refuse), { message: 'not valid' });
    assert.equal(await read('one'), 'what one says');
    assert.equal(verifications.length, 1);
  });

  it('are forgotten, oldest first, when there are more than 500', async () => {
    for (let i = 0; i <= 500; i++) await read(`token ${i}`);
    verifications = [];
    await read('token 500');
    await read('token 1');
    assert.deepEqual(verifications, []);
    await read('token 0');
    assert.deepEqual(verifications, ['token 0']);
  });

  it('are not remembered when they are long', async () => {
    for (const length of [4096, 4097]) for (let i = 0; i < 2; i++) await read('x'.repeat(length));
    assert.deepEqual(
      verifications.map((token) => token.length),
      [4096, 4097, 4097],
    );
  });
});
