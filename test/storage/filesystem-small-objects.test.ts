import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { minReadSize } from '../../lib/storage/read-ahead.ts';
import { ObjectNotFound, RangeNotSatisfiable } from '../../lib/storage/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';

describe('small objects in a folder', () => {
  const content = randomBytes(2 * minReadSize);
  let folder: Folder;
  let store: FilesystemStore;

  beforeEach(async () => {
    folder = await temporaryFolder('small-objects');
    await fs.writeFile(join(folder.path, 'small'), content);
    await fs.writeFile(join(folder.path, 'large'), Buffer.concat([content, Buffer.from('x')]));
    // It has read nothing yet, so it reads asynchronously first.
    store = await FilesystemStore.open(folder.path);
  });
  afterEach(() => {
    folder.remove();
  });

  it('one of known size is read whole, as is its range', async () => {
    for (let i = 0; i < 3; i++) {
      const opened = await store.open('small', undefined, content.length);
      assert.ok(opened.bytes?.equals(content));
      assert.equal(opened.size, content.length);
      const range = await store.open('small', { start: 7, end: 10 }, content.length);
      assert.ok(range.bytes?.equals(content.subarray(7, 11)));
      assert.equal(range.size, content.length);
      assert.ok((await buffer(range.body)).equals(content.subarray(7, 11)));
    }
    await assert.rejects(store.open('small', { start: content.length }, content.length), RangeNotSatisfiable);
  });

  it('one that is larger than was known is streamed', async () => {
    for (let i = 0; i < 3; i++) {
      const opened = await store.open('large', undefined, content.length);
      assert.equal(opened.bytes, undefined);
      assert.equal(opened.size, content.length + 1);
      assert.equal((await buffer(opened.body)).length, content.length + 1);
    }
  });

  it('one that is missing, or is no file, is not found', async () => {
    await fs.mkdir(join(folder.path, 'folder'));
    for (const key of ['missing', 'folder'])
      await assert.rejects(store.open(key, undefined, 5), ObjectNotFound);
  });
});
