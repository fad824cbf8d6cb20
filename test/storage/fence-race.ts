/**
 * A process of the race between commits and the end of their fences: `node fence-race.ts <root> <name>` puts objects whose keys name the
 * staging folder they pass, until its input ends. Fails with the first error that does not say that a fence has ended.
 */
import { basename } from 'node:path';
import { FolderFence } from '../../lib/storage/filesystem/fence.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { FenceEnded } from '../../lib/storage/store.ts';

const [root = '', name = ''] = process.argv.slice(2);
const store = await FilesystemStore.open(root);
const isOver = () => process.stdin.readableEnded;
process.stdin.resume();
while (!isOver()) {
  const { fence } = await store.fencing.open('marks/');
  if (!(fence instanceof FolderFence)) throw new Error('the fence is of another store');
  const number = basename(fence.staging ?? '');
  try {
    for (let i = 0; ; i++) {
      const onlyIfAbsent = i % 2 === 0;
      await store.put(`race/${number}/${name}-${i}`, Buffer.from(name), { fence, onlyIfAbsent });
      if (isOver()) break;
    }
  } catch (error) {
    if (!(error instanceof FenceEnded)) throw error;
  }
}
