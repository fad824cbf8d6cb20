import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { clientKey } from '../../../lib/access/client-key.ts';
import { Attempts, defaultAttemptLimits } from '../../../lib/access/htpasswd/attempts.ts';
import type { Htpasswd } from '../../../lib/access/htpasswd/htpasswd.ts';
import type { RegistryError } from '../../../lib/protocol/errors.ts';
import { line, openContent, outcome, right, tally } from './lines.ts';

const [here, there] = ['192.0.2.1', '198.51.100.7'];
const users = ['alice', 'bob', ...Array.from({ length: 40 }, (_, i) => `user${i}`)];
const file = users.map((name) => line(name)).join('\n');
const opened: Htpasswd[] = [];

async function open(...args: Parameters<typeof openContent>): Promise<Htpasswd> {
  const htpasswd = await openContent(...args);
  opened.push(htpasswd);
  return htpasswd;
}

after(async () => {
  for (const htpasswd of opened) await htpasswd.close();
});

/** Wrong passwords one after another. */
async function guess(htpasswd: Htpasswd, name: string, address: string, times: number): Promise<string[]> {
  const outcomes: string[] = [];
  for (let i = 0; i < times; i++) outcomes.push(await outcome(htpasswd.verify(name, `wrong ${i}`, address)));
  return outcomes;
}

describe('guesses of a password', () => {
  it('are refused after ten wrong ones of a user from an address, the right one as well', async () => {
    const htpasswd = await open(file);
    assert.deepEqual(tally(await guess(htpasswd, 'alice', here, 10)), { UNAUTHORIZED: 10 });
    await assert.rejects(htpasswd.verify('alice', right, here), (error: RegistryError) => {
      const seconds = Number(error.headers['Retry-After']);
      assert.ok(error.failure === 'TOO_MANY_REQUESTS' && seconds > 50 && seconds <= 60, String(seconds));
      return true;
    });
    assert.equal(await outcome(htpasswd.verify('alice', right, there)), 'ok');
    assert.equal(await outcome(htpasswd.verify('bob', right, here)), 'ok');
  });

  it('are refused for users that are not there as for others', async () => {
    const htpasswd = await open(file);
    const outcomes = await guess(htpasswd, 'mallory', here, 12);
    assert.deepEqual(tally(outcomes), { UNAUTHORIZED: 10, TOO_MANY_REQUESTS: 2 });
  });

  it('are refused of any user after a hundred wrong ones from an address', async () => {
    const htpasswd = await open(file);
    for (const name of users.slice(0, 20)) await guess(htpasswd, name, here, 5);
    assert.equal(await outcome(htpasswd.verify('user30', right, here)), 'TOO_MANY_REQUESTS');
    assert.equal(await outcome(htpasswd.verify('user30', right, there)), 'ok');
  });

  it('count while they are under way, so that many at once are no more than one after another', async () => {
    const htpasswd = await open(file);
    const guesses = Array.from(
      { length: 50 },
      async (_, i) => await outcome(htpasswd.verify('alice', `wrong ${i}`, here)),
    );
    const outcomes = tally(await Promise.all(guesses));
    assert.deepEqual(outcomes, { UNAUTHORIZED: 10, TOO_MANY_REQUESTS: 40 });
  });

  it('have a part of the queue, however many users they are of', async () => {
    const htpasswd = await open(file, { threads: 1 });
    const guesses = Array.from(
      { length: 60 },
      async (_, i) => await outcome(htpasswd.verify(`unknown ${i}`, right, here)),
    );
    const login = outcome(htpasswd.verify('alice', right, there));
    const outcomes = tally(await Promise.all(guesses));
    assert.deepEqual(outcomes, { UNAUTHORIZED: 32, TOO_MANY_REQUESTS: 28 });
    assert.equal(await login, 'ok');
  });

  it('never keep out a user who has logged in from the same address or another one', async () => {
    const htpasswd = await open(file);
    for (const address of [here, there]) await htpasswd.verify('alice', right, address);
    for (const name of users.slice(0, 20)) await guess(htpasswd, name, here, 10);
    assert.equal(await outcome(htpasswd.verify('bob', right, here)), 'TOO_MANY_REQUESTS');
    for (const address of [here, there])
      assert.equal(await outcome(htpasswd.verify('alice', right, address)), 'ok');
  });

  it('are refused where the user has logged in from another address only', async () => {
    const htpasswd = await open(file);
    await htpasswd.verify('alice', right, there);
    await guess(htpasswd, 'alice', here, 10);
    assert.equal(await outcome(htpasswd.verify('alice', right, here)), 'TOO_MANY_REQUESTS');
  });

  it('are taken again when the time is over', async () => {
    const attempts = { ...defaultAttemptLimits, windowMs: 200 };
    const htpasswd = await open(file, { attempts });
    const start = performance.now();
    await guess(htpasswd, 'alice', here, 11);
    while ((await outcome(htpasswd.verify('alice', right, here))) === 'TOO_MANY_REQUESTS')
      await new Promise((resolve) => setTimeout(resolve, 10));
    assert.ok(performance.now() - start > 190);
  });
});

describe('the table of wrong passwords', () => {
  it('is bounded, and forgets who was counted first', () => {
    const attempts = new Attempts({ ...defaultAttemptLimits, perUser: 1, maxCounts: 10 });
    const fail = (name: string, place: string) => {
      attempts.begin(name, place).end(true);
    };
    fail('alice', 'first');
    assert.throws(() => {
      attempts.assertAllowed('alice', 'first');
    });
    for (let i = 0; i < 5; i++) fail('alice', `place ${i}`);
    attempts.assertAllowed('alice', 'first');
    assert.throws(() => {
      attempts.assertAllowed('alice', 'place 4');
    });
  });

  for (const [address, place] of [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:1::6', '2001:db8:1:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    [undefined, 'unknown'],
  ] as const)
    it(`counts ${address} as ${place}`, () => {
      assert.equal(clientKey(address), place);
    });
});
