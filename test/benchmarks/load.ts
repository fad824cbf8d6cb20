/*
 * `npm run bench:load`: what many slow, stalled and greedy clients cost the streaming server, on a folder: each kind alone on
 * a server of its own, and all of them at once.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { dial, head } from '../infra/raw-http.ts';
import { putLoad, usualLoad, type Load } from '../infra/load.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { memory, peakMemory } from '../servers/memory.ts';
import { bundlePrograms } from '../servers/programs.ts';
import { serve } from '../servers/stowage.ts';

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
await onServer('1.4 million requests on one connection', async (url) => await flood(url, 1, 1400));
await onServer('10,000 requests on each of 5000 connections', async (url) => await flood(url, 5000, 10));
folder.remove();

async function onServer(what: string, act: (url: string) => Promise<object>, after = 0): Promise<void> {
  const server = await serve(join(folder.path, what.replaceAll(/\W+/g, '-')), {
    REGISTRY_LOG_LEVEL: 'error',
  });
  const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;
  const seen = await act(`http://${server.address}`);
  console.log(`${what}: most memory ${megabytes(await peakMemory(server.pid))}`, seen);
  await delay(after);
  if (after > 0) console.log(`a minute after: ${megabytes(await memory(server.pid))}`);
  await server.stop();
}

async function load(url: string, what: Load): Promise<object> {
  const { slowestPing, push, ...answers } = await putLoad(url, what);
  return { slowestPingMs: Math.round(slowestPing), pushMs: Math.round(push), ...answers };
}

/** Sends requests ahead on connections whose answers are not read. */
async function flood(url: string, connections: number, thousands: number): Promise<object> {
  const requests = Buffer.from(head('GET', '/v2/none/tags/list').repeat(1000));
  const sockets = [];
  for (let i = 0; i < connections; i++) {
    const socket = (await dial(url)).pause();
    for (let sent = 0; sent < thousands; sent++) socket.write(requests);
    sockets.push(socket);
  }
  await delay(10_000);
  const open = sockets.filter((socket) => !socket.closed).length;
  for (const socket of sockets) socket.destroy();
  return { open };
}
