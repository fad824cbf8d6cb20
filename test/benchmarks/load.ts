/*
 * `npm run bench:load`: what many slow, stalled and greedy clients at once cost the streaming server, on a folder.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { putLoad, usualLoad } from '../infra/load.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { memory, peakMemory } from '../servers/memory.ts';
import { serve } from '../servers/stowage.ts';

const folder = await temporaryFolder('bench-load');
const server = await serve(folder.path, { REGISTRY_LOG_LEVEL: 'error' });
const megabytes = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;

console.log(`at the start: ${megabytes(await memory(server.pid))}`);
const { slowestPing, push, manifests, uploads } = await putLoad(`http://${server.address}`, usualLoad);
console.log(`slowest answer to /v2/: ${Math.round(slowestPing)} ms`);
console.log(`push of 20 MiB by another client: ${Math.round(push)} ms`);
console.log('answers to the manifests:', Object.fromEntries(manifests));
console.log('answers to the uploads that stalled:', Object.fromEntries(uploads));
console.log(`most memory: ${megabytes(await peakMemory(server.pid))}`);
await delay(60_000);
console.log(`a minute after: ${megabytes(await memory(server.pid))}`);
await server.stop();
folder.remove();
