/**
 * A process of the creation race: `node create-race.ts <root> <name> <rounds>` creates objects that other processes create at
 * the same time, and prints the rounds in which it was the one. Fails with the first other error.
 */
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { PreconditionFailed } from '../../lib/storage/store.ts';

const [root = '', name = '', rounds = ''] = process.argv.slice(2);
const store = await FilesystemStore.open(root);
for (let round = 0; round < Number(rounds); round++) {
  const key = `race/${round}/deep/link`;
  try {
    await store.put(key, Buffer.from(name), { onlyIfAbsent: true, metadata: { name } });
    console.log(round);
  } catch (error) {
    if (!(error instanceof PreconditionFailed)) throw error;
    // Whoever is second finds the whole object.
    const { bytes } = await store.read(key, 100);
    if (bytes.length === 0) throw new Error(`${key} is empty`, { cause: error });
  }
}
