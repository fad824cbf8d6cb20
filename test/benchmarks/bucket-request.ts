/*
 * `node test/benchmarks/bucket-request.ts CHECKOUT REQUESTS`: prints the median CPU time in µs of one GET of a small object, as
 * the store of a checkout makes it, one after the other over kept connections. Settings of S3 are read from the environment.
 */
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type * as compose from '../../lib/compose.ts';
import type * as config from '../../lib/config/config.ts';

/** Requests whose CPU time is measured as one, as the clock of CPU time is too coarse for one. */
const BLOCK = 50;

const [checkout = '.', requests = '4000'] = process.argv.slice(2);
const { loadConfig } = await load<typeof config>('lib/config/config.ts');
const { openStore } = await load<typeof compose>('lib/compose.ts');

const store = await openStore(loadConfig('maintenance', process.env).storage, { check: true });
const key = 'docker/registry/v2/repositories/app/_manifests/tags/latest/current/link';
await store.put(key, Buffer.from(`sha256:${'a'.repeat(64)}`));
// The code is compiled first.
await measureAll(Number(requests) / 2);
console.log((await measureAll(Number(requests))).toFixed(1));
process.exit();

async function measureAll(count: number): Promise<number> {
  const found: number[] = [];
  for (let done = 0; done < count; done += BLOCK) found.push(await measureBlock());
  return found.toSorted((a, b) => a - b)[found.length >> 1] ?? NaN;
}

async function measureBlock(): Promise<number> {
  const start = process.cpuUsage();
  for (let i = 0; i < BLOCK; i++) await store.read(key, 1024);
  const { user, system } = process.cpuUsage(start);
  return (user + system) / BLOCK;
}

async function load<T>(path: string): Promise<T> {
  return (await import(pathToFileURL(join(resolve(checkout), path)).href)) as T;
}
