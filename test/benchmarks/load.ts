/*
 * `npm run bench:load`: what many slow, stalled and greedy clients cost the streaming server, on a folder: each kind alone on
 * a server of its own, and all of them at once. Of several workers, the proportional set sizes (PSS) of all processes count.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { putLoad, putPipelined, usualLoad, type Load } from '../infra/load.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { peakMemory, treeMemory, watchTreeMemory } from '../servers/memory.ts';
import { bundlePrograms } from '../servers/programs.ts';
import { serve } from '../servers/stowage.ts';

const [argument, workers = '1', ...more] = process.argv.slice(2);
if ((argument !== undefined && argument !== '--workers') || !/^[1-9]\d?$/.test(workers) || more.length > 0) {
  const help = argument === '--help';
  console[help ? 'log' : 'error']('Usage: npm run bench:load [-- --workers 4]');
  process.exit(help ? 0 : 2);
}
const folder = await temporaryFolder('bench-load');
await bundlePrograms(join(folder.path, 'programs'));
const none: Load = { readers: 0, stalledUploads: 0, manifests: 0 };
const { readers, stalledUploads, manifests } = usualLoad;

await onServer('no load but the preparations', async (url) => await load(url, none));
await onServer(`${readers} slow readers`, async (url) => await load(url, { ...none, readers }));
await onServer(
  `${stalledUploads} stalled uploads`,
  async (url) => await load(url, { ...none, stalledUploads }),
);
await onServer(
  `${manifests} manifests of 2000 layers`,
  async (url) => await load(url, { ...none, manifests }),
);
await onServer('all of these at once', async (url) => await load(url, usualLoad), 60_000);
await onServer('1.4 million requests on one connection', async (url) => await flood(url, 1, 1_400_000));
for (const requests of [40, 400, 10_000])
  await onServer(
    `${requests} requests on each of 5000 connections`,
    async (url) => await flood(url, 5000, requests),
  );
folder.remove();

async function onServer(what: string, act: (url: string) => Promise<object>, after = 0): Promise<void> {
  const server = await serve(join(folder.path, what.replaceAll(/\W+/g, '-')), {
    REGISTRY_LOG_LEVEL: 'error',
    REGISTRY_HTTP_WORKERS: workers,
  });
  const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
  const peak = watchTreeMemory(server.pid);
  const seen = await act(`http://${server.address}`);
  const most = workers === '1' ? await peakMemory(server.pid) : peak();
  console.log(`${what}: most memory ${megabytes(most)}`, seen);
  await delay(after);
  if (after > 0) console.log(`a minute after: ${megabytes(await treeMemory(server.pid))}`);
  peak();
  await server.stop();
}

async function load(url: string, what: Load): Promise<object> {
  const { push, ...answers } = await putLoad(url, what);
  return { pushMs: Math.round(push), ...answers };
}

async function flood(url: string, connections: number, requests: number): Promise<object> {
  const pipelined = await putPipelined(url, { connections, requests });
  await delay(10_000);
  const open = pipelined.open();
  pipelined.end();
  return { open };
}
