/*
 * npm run scale:gc -- [REPOSITORIES] [--steps]: two looks at a simulated bucket of 100 blobs a repository, with their memory and time.
 * With --steps, each is made in steps of 250,000 requests, which save their state after each 30,000.
 */
import { Garbage } from '../../../lib/maintenance/collection/garbage.ts';
import { look } from '../../../lib/maintenance/collection/look.ts';
import { removeLook, stepLook } from '../../../lib/maintenance/collection/look-steps.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { SimulatedBucket } from './simulated-bucket.ts';

const options = process.argv.slice(2);
const inSteps = options.includes('--steps');
const repositories = Number(options.find((option) => option !== '--steps') ?? 10_000);
const stepRequests = 250_000;
const saveRequests = 30_000;

/** @returns what was found, and in how many steps with how many bytes of state */
async function lookAt(bucket: SimulatedBucket, run: string) {
  const garbage = new Garbage();
  if (!inSteps) {
    await look(bucket, { keeps: true }, garbage);
    return { garbage };
  }
  for (let steps = 1; ; steps++) {
    const stepped = new Garbage();
    const isComplete = await stepLook(bucket, { keeps: true }, stepped, {
      run,
      clock: () => bucket.asked,
      budgetMs: stepRequests,
      saveMs: saveRequests,
    });
    if (!isComplete) continue;
    const [keptBytes, stateBytes] = [bucket.bytesOf(`steps/${run}/`), bucket.bytesOf(`steps/${run}/state`)];
    await removeLook(bucket, run);
    return { garbage: stepped, steps, keptBytes, stateBytes };
  }
}

const folder = await temporaryFolder('scale');
try {
  const bucket = new SimulatedBucket(repositories, folder.path);
  for (const name of ['first', 'second']) {
    const [asked, started] = [bucket.asked, process.cpuUsage()];
    const { garbage, ...stepped } = await lookAt(bucket, name);
    const { user, system } = process.cpuUsage(started);
    console.log(
      JSON.stringify({
        look: name,
        ...garbage.total,
        freed: garbage.freed,
        requests: bucket.asked - asked,
        cpuSeconds: Math.round((user + system) / 1e6),
        peakMegabytes: Math.round(process.resourceUsage().maxRSS / 1024),
        ...stepped,
      }),
    );
  }
} finally {
  folder.remove();
}
