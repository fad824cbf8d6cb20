/**
 * A process of the prune race: `node prune-race.ts <root> <name> <rounds>` puts, reads, moves and deletes objects whose
 * folders other processes make and prune at the same time. Fails with the first error.
 */
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';

const [root = '', name = '', rounds = ''] = process.argv.slice(2);
const store = await FilesystemStore.open(root);
for (let round = 0; round < Number(rounds); round++) {
  const key = `race/${round % 2}/deep/${name}`;
  const moved = `race/${(round + 1) % 2}/other/deep/${name}`;
  const { etag } = await store.put(key, Buffer.from(name), { metadata: { name } });
  await store.move(key, moved, { size: name.length, etag });
  const read = await store.read(moved, 100);
  const { metadata } = await store.head(moved, { metadata: true });
  if (read.bytes.toString() !== name || metadata['name'] !== name) throw new Error(`lost ${moved}`);
  await store.list({ prefix: 'race/', delimiter: '/deep' });
  await store.delete([moved]);
}
