import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { loadConfig } from '../config/config.ts';
import { Settings } from '../config/settings.ts';
import { configuresBucket, describeStorage } from '../config/storage.ts';
import { readArguments, type Command } from './command.ts';
import { memoryEnvironment, memoryFlags } from './low-memory.ts';

/**
 * The whole registry on this machine as it runs in the cloud. The functions run under serverless-offline at PORT (5000), the
 * data plane at the port above, and one secret is made for both.
 */
export const command: Command = {
  summary: 'run the functions and their data plane on this machine, from a checkout of the project',
  usage: `Usage: stowage start

Runs a registry on this machine as it runs in the cloud: the functions at 127.0.0.1, port PORT (5000), and their data plane
at the port above. It builds them first, which needs a checkout of the project; without one, there is stowage serve.`,
  run: async (args) => {
    readArguments(args, {});
    return await start();
  },
};

/** The folder of the project, as far from the bundle in dist/stowage/ as from here. */
const root = join(import.meta.dirname, '../..');
const bundle = 'dist/stowage.mjs';
const host = '127.0.0.1';

/** Milliseconds both planes have to answer for the first time. */
const patience = 60_000;

/** Milliseconds children have to end after they were asked to. */
const grace = 10_000;

const children = new Map<string, ChildProcess>();
let stopping = false;

/** Resolves once both planes answer; a signal, or the end of either, ends them and the process. */
async function start(): Promise<number> {
  if (!existsSync(join(root, 'infra/bundle.ts')))
    throw new Error(
      'the functions are built from a checkout of the project, and this is none; stowage serve runs a registry without',
    );
  try {
    await startPlanes();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    await stop(1);
  }
  return 0;
}

async function startPlanes(): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void stop(0));
  const given = process.env['PORT'] ?? '';
  const port = readPort(given === '' ? '5000' : given);
  const [functionsUrl, dataPlaneUrl] = [`http://${host}:${port}`, `http://${host}:${port + 1}`];
  const common = settings();
  const planes = {
    functions: { ...common, REGISTRY_HTTP_DATAPLANE: dataPlaneUrl },
    dataPlane: { ...common, REGISTRY_HTTP_HOST: functionsUrl, REGISTRY_HTTP_ADDR: `${host}:${port + 1}` },
  };
  // Each plane would say so itself, but the functions only at the first push.
  const { storage, search, readOnly } = loadConfig('functions', planes.functions);
  loadConfig('data-plane', planes.dataPlane);
  for (const taken of [port, port + 1]) await assertFree(taken);
  console.log('Building the functions …');
  await run('build', ['infra/bundle.ts'], process.env);
  spawnChild(
    'data plane',
    ['--enable-source-maps', ...memoryFlags, bundle, 'serve', 'data-plane'],
    { ...memoryEnvironment, ...planes.dataPlane },
    'inherit',
  );
  spawnChild('functions', await offlineArguments(port), planes.functions, 'inherit');
  await Promise.all([answers(`${functionsUrl}/v2/`, 200), answers(`${dataPlaneUrl}/v2/`, 404)]);
  greet(port, describeStorage(storage));
  if (search.kind !== 'bucket' && !readOnly) reindex(planes.functions);
}

function readPort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65534)
    throw new Error(
      `PORT is ${JSON.stringify(text)}; it must be a number from 1 to 65534 (the port above it is used as well).`,
    );
  return port;
}

/** Settings of both planes. PORT is this program's own. */
function settings(): NodeJS.ProcessEnv {
  const given = Object.fromEntries(
    Object.entries(process.env).filter(([name, value]) => name !== 'PORT' && value !== ''),
  );
  return {
    REGISTRY_HTTP_SECRET: randomBytes(32).toString('hex'),
    ...defaultStorage(),
    REGISTRY_LOG_LEVEL: 'warn',
    ...given,
    // serverless-offline is not to look for newer versions of itself.
    SLS_NOTIFICATIONS_MODE: 'off',
    SLS_TRACKING_DISABLED: '1',
  };
}

/** A folder of this project, wherever it is started from, unless another store is configured. */
function defaultStorage(): NodeJS.ProcessEnv {
  return configuresBucket(new Settings(process.env))
    ? {}
    : { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: join(root, '.registry') };
}

/** @throws when another program listens there */
async function assertFree(port: number): Promise<void> {
  const probe = createServer();
  try {
    probe.listen(port, host);
    await once(probe, 'listening');
  } catch (cause) {
    throw new Error(`Port ${port} is not free: set PORT to one that is, with the one above it.`, { cause });
  } finally {
    probe.close();
  }
}

/** serverless-offline opens a port of its own for invocations, which nothing here uses: any free one will do. */
async function offlineArguments(port: number): Promise<string[]> {
  const probe = createServer().listen(0, host);
  await once(probe, 'listening');
  const { port: lambdaPort } = probe.address() as { port: number };
  probe.close();
  const ports = ['--httpPort', String(port), '--lambdaPort', String(lambdaPort)];
  const before = ['joined-headers', 'offline-paths'].flatMap((name) => ['--import', `./infra/${name}.ts`]);
  const program = [...before, 'node_modules/serverless/bin/serverless.js'];
  return [...program, 'offline', 'start', '--host', host, ...ports];
}

function spawnChild(
  name: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  stdio: 'inherit' | ('ignore' | 'inherit')[],
): ChildProcess {
  const child = spawn(process.execPath, args, { cwd: root, env, stdio });
  children.set(name, child);
  child.once('exit', (code, signal) => {
    children.delete(name);
    if (stopping) return;
    console.error(`The ${name} ended unexpectedly (${signal ?? `exit code ${String(code)}`}).`);
    void stop(1);
  });
  return child;
}

/** Once, in the background: the schedule of the function comes only at midnight. */
function reindex(env: NodeJS.ProcessEnv): void {
  if (stopping) return;
  const args = ['--enable-source-maps', bundle, 'reindex'];
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: 'inherit' });
  children.set('reindex', child);
  child.once('exit', (code) => {
    children.delete('reindex');
    if (code !== 0 && !stopping)
      console.error('The list of repositories is not up to date; npm run reindex tries it again.');
  });
}

async function run(name: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`The ${name} failed.`);
}

async function answers(url: string, status: number): Promise<void> {
  const deadline = Date.now() + patience;
  while (Date.now() < deadline && !stopping) {
    const response = await fetch(url).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.status === status) return;
    await delay(200);
  }
  if (!stopping) throw new Error(`Nothing answers at ${url}.`);
}

function greet(port: number, storage: string): void {
  if (stopping) return;
  console.log(`
The registry answers at localhost:${port} and keeps its images in ${storage}.

  docker tag alpine localhost:${port}/alpine
  docker push localhost:${port}/alpine

Uploads and downloads of layers go through the data plane at localhost:${port + 1}. Ctrl-C stops both.
`);
}

async function stop(code: number): Promise<void> {
  if (stopping) return;
  stopping = true;
  const all = [...children.values()];
  const ended = all.map(async (child) => {
    await once(child, 'exit');
  });
  // serverless-offline ends at SIGINT as at Ctrl-C.
  for (const child of all) child.kill('SIGINT');
  await Promise.race([Promise.all(ended), delay(grace)]);
  for (const child of all) child.kill('SIGKILL');
  process.exit(code);
}
