import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { Htpasswd } from '../../../lib/access/htpasswd/htpasswd.ts';
import { defaultAttemptLimits } from '../../../lib/access/htpasswd/attempts.ts';
import { requires } from '../../servers/requires.ts';
import { command } from '../../servers/process.ts';
import { hashes, line, openContent, outcome, right, tally } from './lines.ts';

const address = '192.0.2.1';

const unlimited = { ...defaultAttemptLimits, perUser: Infinity, perAddress: Infinity };

/** Closed at the end. */
const opened: Htpasswd[] = [];

async function open(...args: Parameters<typeof openContent>): Promise<Htpasswd> {
  const htpasswd = await openContent(...args);
  opened.push(htpasswd);
  return htpasswd;
}

after(async () => {
  for (const htpasswd of opened) await htpasswd.close();
});

describe('passwords', () => {
  for (const version of ['2a', '2b', '2y'] as const)
    it(`are checked against bcrypt of $${version}$`, async () => {
      const htpasswd = await open(line('alice', version));
      assert.equal((await htpasswd.verify('alice', right, address)).name, 'alice');
      assert.equal(await outcome(htpasswd.verify('alice', 'wrong', address)), 'UNAUTHORIZED');
    });

  it('are taken as UTF-8', async () => {
    const htpasswd = await open(`älice:${hashes['Grüße, 世界']}`);
    assert.equal(await outcome(htpasswd.verify('älice', 'Grüße, 世界', address)), 'ok');
    assert.equal(await outcome(htpasswd.verify('älice', 'Grusse, 世界', address)), 'UNAUTHORIZED');
  });

  it('are their first 72 bytes, as in distribution', async () => {
    const x72 = 'x'.repeat(72);
    const htpasswd = await open(`alice:${hashes[x72] ?? ''}`);
    assert.equal(await outcome(htpasswd.verify('alice', `${x72} and more`, address)), 'ok');
    assert.equal(await outcome(htpasswd.verify('alice', x72.slice(1), address)), 'UNAUTHORIZED');
  });

  it('are wrong where they are empty, where the user is another, and where there are no users', async () => {
    const htpasswd = await open(`${line('alice')}\nbob:${hashes['Grüße, 世界']}`);
    const nobody = await open('');
    for (const [of, name, password] of [
      [htpasswd, 'alice', ''],
      [htpasswd, 'bob', right],
      [htpasswd, 'Alice', right],
      [htpasswd, 'x'.repeat(10_000), right],
      [nobody, 'alice', right],
    ] as const)
      assert.equal(await outcome(of.verify(name, password, address)), 'UNAUTHORIZED');
  });

  it('are wrong for the hash that unknown users are compared with', async () => {
    const htpasswd = await open(`alice:$2b$04$${'.'.repeat(53)}`);
    for (const name of ['alice', 'mallory'])
      assert.equal(await outcome(htpasswd.verify(name, right, address)), 'UNAUTHORIZED');
  });

  it('are checked in a file that htpasswd -B of Debian made', requires('htpasswd'), async () => {
    const long = 'y'.repeat(80);
    const made = async (name: string, password: string) =>
      (await command('htpasswd', ['-nbB', '-C', '4', name, password])).text;
    const htpasswd = await open(
      [await made('alice', right), await made('bob', 'Grüße, 世界'), await made('carol', long)].join('\n'),
    );
    assert.equal(await outcome(htpasswd.verify('alice', right, address)), 'ok');
    assert.equal(await outcome(htpasswd.verify('bob', 'Grüße, 世界', address)), 'ok');
    assert.equal(await outcome(htpasswd.verify('carol', long, address)), 'ok');
    assert.equal(await outcome(htpasswd.verify('bob', right, address)), 'UNAUTHORIZED');
  });

  it('that are the same share one check while it is under way', async () => {
    const htpasswd = await open(line('alice'), { threads: 1 });
    // More than may wait for a thread, from as many addresses.
    const logins = Array.from(
      { length: 300 },
      async (_, i) => await outcome(htpasswd.verify('alice', right, `192.0.2.${i % 250}`)),
    );
    assert.deepEqual(tally(await Promise.all(logins)), { ok: 300 });
  });

  for (const [what, password, expected] of [
    ['right', right, 'ok'],
    ['wrong', 'wrong', 'UNAUTHORIZED'],
  ] as const)
    it(`that are ${what} count as one attempt where an address sends the same many times at once`, async () => {
      const htpasswd = await open(line('alice'));
      const logins = Array.from(
        { length: 100 },
        async () => await outcome(htpasswd.verify('alice', password, address)),
      );
      assert.deepEqual(tally(await Promise.all(logins)), { [expected]: 100 });
    });

  it('that are wrong take as long for users of every cost as for those that do not exist', async () => {
    const cost9 = '$2y$09$abcdefghijklmnopqrstuu5i2ZWuLNMLJE.p.KbVU/9BMQd.yS3Ve';
    const htpasswd = await open(`${line('cost4')}\ncost9:${cost9}`, { attempts: unlimited });
    const times: Record<string, number[]> = { cost4: [], cost9: [], nobody: [] };
    for (let i = 0; i < 11; i++)
      for (const [name, own] of Object.entries(times)) {
        const start = performance.now();
        assert.equal(await outcome(htpasswd.verify(name, `wrong ${i}`, address)), 'UNAUTHORIZED');
        own.push(performance.now() - start);
      }
    const medians = Object.values(times).map((own) => own.sort((a, b) => a - b)[5] ?? 0);
    // A hash of cost 4 takes a 32nd of one of cost 9.
    assert.ok(Math.max(...medians) < 3 * Math.min(...medians), String(medians));
  });

  it('that differ wait for a thread in a queue that has a limit', async () => {
    const htpasswd = await open(line('alice'), { threads: 1 });
    const logins = Array.from(
      { length: 100 },
      async (_, i) => await outcome(htpasswd.verify('alice', `wrong ${i}`, `192.0.2.${i}`)),
    );
    assert.deepEqual(tally(await Promise.all(logins)), { UNAUTHORIZED: 65, BUSY: 35 });
    assert.equal(await outcome(htpasswd.verify('alice', right, address)), 'ok');
  });

  it('cannot be checked any more after the end', async () => {
    const htpasswd = await open(line('alice'));
    await htpasswd.verify('alice', right, address);
    await htpasswd.close();
    assert.equal(await outcome(htpasswd.verify('alice', 'other', address)), 'UNAVAILABLE');
  });
});

describe('the fingerprint of a user', () => {
  it('is the same in every process for the same line, and differs between lines', async () => {
    const [one, two] = [await open(`${line('alice')}\n${line('bob')}`), await open(line('alice'))];
    const fingerprint = await one.fingerprint('alice');
    assert.match(fingerprint ?? '', /^[\w-]{43}$/);
    assert.equal(await two.fingerprint('alice'), fingerprint);
    assert.notEqual(await one.fingerprint('bob'), fingerprint);
    assert.equal((await one.verify('alice', right, address)).fingerprint, fingerprint);
  });

  it('is undefined where there is no such user', async () => {
    assert.equal(await (await open(line('alice'))).fingerprint('bob'), undefined);
  });
});
