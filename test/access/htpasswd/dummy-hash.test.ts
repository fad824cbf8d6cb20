import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { dummyHashFor } from '../../../lib/access/htpasswd/dummy-hash.ts';
import { parseEntries } from '../../../lib/access/htpasswd/entries.ts';
import { hashes, right } from './lines.ts';

const user = (name: string, cost: string) => `${name}:${hashes[right].replace('$04$', `$${cost}$`)}`;
const parse = (...lines: string[]) => parseEntries(lines.join('\n'), 'users');
const names = Array.from({ length: 2_000 }, (_, i) => `nobody-${i}`);
const costsOf = (entries: ReturnType<typeof parse>) =>
  names.map((name) => dummyHashFor(name, entries).slice(4, 6));
const count = (costs: readonly string[], cost: string) => costs.filter((one) => one === cost).length;

describe('the hash that passwords of an unknown user are compared with', () => {
  const four = parse(user('a', '05'), user('b', '10'), user('c', '10'), user('d', '12'));

  it('has each cost as often as the hashes of the users', () => {
    const costs = costsOf(four);
    // Five standard deviations.
    for (const [cost, share] of [
      ['05', 0.25],
      ['10', 0.5],
      ['12', 0.25],
    ] as const)
      assert.ok(Math.abs(count(costs, cost) / names.length - share) < 0.06, `${cost}: ${count(costs, cost)}`);
  });

  it('is the same each time for a name, and depends on the content of the file', () => {
    assert.deepEqual(
      costsOf(four),
      costsOf(parse(user('a', '05'), user('b', '10'), user('c', '10'), user('d', '12'))),
    );
    const other = parse(
      user('a', '05').replace('ab', 'ba'),
      user('b', '10'),
      user('c', '10'),
      user('d', '12'),
    );
    assert.notDeepEqual(costsOf(four), costsOf(other));
  });

  it('stays for most names when a user is added', () => {
    const more = Array.from({ length: 100 }, (_, i) => user(`u${i}`, i < 50 ? '05' : '10'));
    const before = costsOf(parse(...more));
    const after = costsOf(parse(...more, user('new', '05')));
    const changed = before.filter((cost, i) => cost !== after[i]).length;
    assert.ok(changed < names.length / 50, String(changed));
  });

  it('has the default cost if there are no users', () => {
    assert.match(dummyHashFor('alice', parse()), /^\$2b\$10\$/);
  });
});
