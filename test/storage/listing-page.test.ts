import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { listPage, type PageRequest } from '../../lib/storage/listing-page.ts';
import type { ListOptions } from '../../lib/storage/store.ts';
import { MemoryStore } from '../registry/memory-store.ts';

describe('a page of a bucket', () => {
  const keys = ['a-b/_x/1', 'a-b/_x/2', 'a/_x/1', 'a/_x/2', 'a/b/_x/1', 'a0', 'b/_x/1'];

  /** What a listing finds, and what it asks for. */
  async function asked(startsInFolders: boolean, options: ListOptions) {
    const store = new MemoryStore();
    for (const key of keys) await store.put(key, Buffer.from(key));
    const requests: PageRequest[] = [];
    const request = async (page: PageRequest) => {
      requests.push(page);
      const { prefix, delimiter, after: startAfter, maxKeys: limit } = page;
      const { objects, prefixes, next } = await store.list({
        ...{ prefix, startAfter, limit },
        ...(delimiter !== undefined && { delimiter }),
      });
      return { objects, prefixes, isTruncated: next !== undefined };
    };
    const { objects, prefixes, next } = await listPage({ name: 'bucket', request, startsInFolders }, options);
    return { found: [...objects.map(({ key }) => key), ...prefixes], next, requests };
  }

  it('a page of a bucket is one request of its size on AWS', async () => {
    for (const startAfter of ['', 'a', 'a/', 'a/_', 'a/_x/1', 'a/b/_x', 'a0', 'b/_x/1'])
      for (const limit of [1, 2, 1000]) {
        const { requests } = await asked(true, { delimiter: '/_', startAfter, limit });
        assert.deepEqual(
          requests.map(({ prefix, maxKeys }) => [prefix, maxKeys]),
          [['', limit]],
        );
      }
  });

  it('a page of a bucket on other servers starts in the innermost folder and continues above it', async () => {
    const { found, next, requests } = await asked(false, { delimiter: '/_', startAfter: 'a/_', limit: 3 });
    assert.deepEqual(found, ['a0', 'a/b/_', 'b/_']);
    assert.equal(next, undefined);
    assert.deepEqual(
      requests.map(({ prefix, after }) => [prefix, after]),
      [
        ['a/', 'a/_\u{10ffff}'],
        ['a0', ''],
        ['', 'a0'],
      ],
    );
  });

  it('a page of a bucket on other servers costs one request if it starts in no folder', async () => {
    for (const startAfter of ['', 'a', 'a-', 'a0', 'zz'])
      assert.equal((await asked(false, { delimiter: '/_', startAfter })).requests.length, 1);
    const { found, next, requests } = await asked(false, { startAfter: 'a/_x/1', limit: 1 });
    assert.deepEqual([found, next], [['a/_x/2'], 'a/_x/2']);
    assert.equal(requests.length, 3);
  });
});
