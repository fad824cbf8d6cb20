/**
 * `node local-file-process.ts <list> <bucket> <name> <rounds>`: pushes repositories to the bucket and records them,
 * deletes every second one again, and reindexes now and then; as one of several that do so at once.
 */
import { LocalFile } from '../../lib/search/file/local-file.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { FolderBucket } from './folder-bucket.ts';

const [list = '', folder = '', own = '', rounds = ''] = process.argv.slice(2);
const file = await LocalFile.open(list, 60_000);
const bucket = new FolderBucket(folder);

for (let round = 0; round < Number(rounds); round++) {
  const name = parseRepositoryName(`${own}/${'x'.repeat(round % 50)}${round}`);
  // What all of them push at times, and a name of its own.
  for (const pushed of [parseRepositoryName(`common/${round}`), name]) {
    await bucket.push(pushed);
    await file.record(pushed);
    const { names } = await file.search(pushed, { size: 1, number: 1 });
    if (names[0] !== pushed) throw new Error(`${pushed} is lost: ${String(names[0])}`);
  }
  if (round % 2 === 1) await bucket.delete(name);
  if (round % 4 === 3) await file.reindex(bucket);
}
await file.close();
