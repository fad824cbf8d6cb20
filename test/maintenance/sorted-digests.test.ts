import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { SortedDigests } from '../../lib/maintenance/verify/sorted-digests.ts';
import { digestFrom, type Digest } from '../../lib/protocol/digests.ts';

const some = (count: number) =>
  Array.from({ length: count }, (_, i) =>
    digestFrom('sha256', createHash('sha256').update(String(i)).digest('hex')),
  ).sort();

describe('a list of sorted digests', () => {
  it('finds the number of each digest that it has, and of no other', () => {
    const [all, list] = [some(20_000), new SortedDigests()];
    const [has, lacks] = [all.filter((_, i) => i % 2 === 0), all.filter((_, i) => i % 2 === 1)];
    for (const [i, digest] of has.entries()) list.append(digest, i);
    assert.deepEqual(
      has.map((digest) => list.get(digest)),
      has.map((_, i) => i),
    );
    assert.ok(lacks.every((digest) => list.get(digest) === undefined));
    list.clear();
    assert.deepEqual(
      has.map((digest) => list.get(digest)).filter((one) => one !== undefined),
      [],
    );
  });

  it('leaves out digests beyond its limit, out of order, and of other algorithms', () => {
    const [a, b, c, d] = some(4) as [Digest, Digest, Digest, Digest];
    const list = new SortedDigests(2);
    const long = digestFrom('sha512', '0'.repeat(128));
    for (const digest of [b, a, c, d, long]) list.append(digest, 1);
    assert.deepEqual(
      [a, b, c, d, long].map((digest) => list.get(digest)),
      [undefined, 1, 1, undefined, undefined],
    );
  });
});
