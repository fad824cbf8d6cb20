/**
 * `node busy-process.ts lock <lock file>` or `… list <list file> <name>`: takes the lock, or records a name that
 * is in the list, in two loops without a pause, and says `busy` once both run. Until it is stopped, or for two minutes.
 */
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { FileLock } from '../../lib/search/file/lock.ts';
import { LocalFile } from '../../lib/search/file/local-file.ts';

const [what = '', path = '', name = ''] = process.argv.slice(2);
const use = what === 'lock' ? usesOfLock() : await records();
const end = performance.now() + 120_000;

await use();
console.log('busy');
await Promise.all([loop(), loop()]);

async function loop(): Promise<void> {
  while (performance.now() < end) await use();
}

function usesOfLock(): () => Promise<void> {
  const lock = new FileLock(path);
  return async () => {
    // For as long as a read takes that has nothing to do.
    await lock.during(async () => {
      await new Promise((resolve) => setImmediate(resolve));
    });
  };
}

async function records(): Promise<() => Promise<void>> {
  const file = await LocalFile.open(path);
  const known = parseRepositoryName(name);
  return async () => {
    await file.record(known);
  };
}
