/* npm run scale:gc -- [REPOSITORIES]: two looks at a simulated bucket of 100 blobs a repository, with their memory and time. */
import { Garbage } from '../../../lib/maintenance/collection/garbage.ts';
import { look } from '../../../lib/maintenance/collection/look.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { SimulatedBucket } from './simulated-bucket.ts';

const repositories = Number(process.argv[2] ?? 10_000);
const folder = await temporaryFolder('scale');
try {
  const bucket = new SimulatedBucket(repositories, folder.path);
  for (const name of ['first', 'second']) {
    const [asked, started] = [bucket.asked, process.cpuUsage()];
    const garbage = new Garbage();
    await look(bucket, { keeps: true }, garbage);
    const { user, system } = process.cpuUsage(started);
    console.log(
      JSON.stringify({
        look: name,
        ...garbage.total,
        freed: garbage.freed,
        requests: bucket.asked - asked,
        cpuSeconds: Math.round((user + system) / 1e6),
        peakMegabytes: Math.round(process.resourceUsage().maxRSS / 1024),
      }),
    );
  }
} finally {
  folder.remove();
}
