/*
 * npm run kills:gc -- [versitygw|MinIO]: kills `stowage gc` at each of its requests to a bucket, and stops it at each deletion while a
 * client pushes what is deleted. npm test has a share of it.
 */
import { inParallel } from '../../../lib/concurrency/in-parallel.ts';
import { onMinio, onVersitygw } from '../../servers/buckets.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { bundlePrograms } from '../../servers/programs.ts';
import { killsOf } from './kills.ts';
import { stoppedScenarios, stopsIn } from './stops.ts';
import { WatchedRuns } from './watched-runs.ts';

/** They mostly wait until fences have ended. */
const parallelRuns = 24;

const [name] = process.argv.slice(2);
const kinds = [onVersitygw, onMinio].filter((kind) => name === undefined || kind.name === name);
if (kinds.length === 0) throw new Error(`there is no kind ${name}: it may be versitygw or MinIO`);

await bundlePrograms((await temporaryFolder('programs')).path);
for (const kind of kinds) {
  const runs = await WatchedRuns.start(kind);
  const all = async (what: string, acts: readonly (() => Promise<void>)[]) => {
    await inParallel(acts, parallelRuns, async (act) => {
      await act();
    });
    console.log(`${kind.name}: ${acts.length} ${what}`);
  };
  try {
    await all('kills of runs that condemn', await killsOf(runs, 'condemns'));
    await all('kills of runs that delete', await killsOf(runs, 'deletes'));
    for (const scenario of stoppedScenarios)
      await all(`stops beside a push of ${scenario}`, await stopsIn(runs, scenario));
  } finally {
    await runs.stop();
  }
}
