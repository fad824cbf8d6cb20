import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { it } from 'node:test';
import { digestFrom } from '../../lib/protocol/digests.ts';
import { LastUsedBytes } from '../../lib/retention/last-used-bytes.ts';

const digestOf = (id: number) => digestFrom('sha256', createHash('sha256').update(String(id)).digest('hex'));

it('the bytes that were used last are found as if all were sorted, in any order and however often they come', () => {
  let seed = 1;
  const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  for (let round = 0; round < 300; round++) {
    const limit = 1 + random(500);
    const uses = Array.from({ length: random(200) }, () => ({ id: random(60), used: random(40) }));
    const sizeOf = (id: number) => (id * 7) % 50;
    const bytes = new LastUsedBytes(limit);
    for (const { id, used } of uses) bytes.add(digestOf(id), sizeOf(id), used);
    const last = new Map<number, number>();
    for (const { id, used } of uses) last.set(id, Math.max(used, last.get(id) ?? 0));
    const usedSince = (since: number) =>
      [...last].reduce((sum, [id, used]) => sum + (used >= since ? sizeOf(id) : 0), 0);
    const since = bytes.since();
    assert.ok(usedSince(since) <= limit);
    const earlier = [...last.values()].filter((used) => used < since);
    if (earlier.length > 0) assert.ok(usedSince(Math.max(...earlier)) > limit);
  }
});
