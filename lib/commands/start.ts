import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError, loadConfig } from '../config/config.ts';
import { Settings } from '../config/settings.ts';
import { configuresBucket, describeStorage } from '../config/storage.ts';
import { openWarning } from './open-warning.ts';
import { readArguments, type Command } from './command.ts';
import { memoryEnvironment, memoryFlags } from './low-memory.ts';

/** Runs functions (under serverless-offline) and data plane with one generated secret. */
export const command: Command = {
  summary: 'run the functions and their data plane on this machine, from a checkout of the project',
  usage: `Usage: stowage start

Runs a registry on this machine as in the cloud: the functions at 127.0.0.1, port PORT (5000), and their data plane at the
next port. It builds them first, which needs a checkout of the project. Without one, use stowage serve.`,
  run: async (args) => {
    readArguments(args, {});
    return await start();
  },
};

/** The project's folder, two levels above both this file and its bundle in dist/stowage/. */
const root = join(import.meta.dirname, '../..');
const bundle = 'dist/stowage.mjs';
const host = '127.0.0.1';

const startTimeoutMs = 60_000;

const stopTimeoutMs = 10_000;

const children = new Map<string, ChildProcess>();
let stopping = false;

/** Resolves once both planes respond. A signal, or the end of either plane, ends the process. */
async function start(): Promise<number> {
  if (!existsSync(join(root, 'infra/bundle.ts')))
    throw new Error(
      'it builds the functions from a checkout of the project, and this is none; stowage serve needs no checkout',
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
    functions: { ...challengeHost(port), ...common, REGISTRY_HTTP_DATAPLANE: dataPlaneUrl },
    dataPlane: { ...common, REGISTRY_HTTP_HOST: functionsUrl, REGISTRY_HTTP_ADDR: `${host}:${port + 1}` },
  };
  // The functions would report invalid settings only at the first request.
  const { auth, storage, search, readOnly } = loadConfig('functions', planes.functions);
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
  // 401 where one must log in.
  await Promise.all([waitFor(`${functionsUrl}/v2/`, [200, 401]), waitFor(`${dataPlaneUrl}/v2/`, [404])]);
  greet(port, describeStorage(storage), auth.kind === 'none');
  if (search.kind !== 'bucket' && !readOnly) reindex(planes.functions);
}

function readPort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65534)
    throw new ConfigError([
      `PORT: ${JSON.stringify(text)} is not a port from 1 to 65534 (the next port is used as well)`,
    ]);
  return port;
}

/** Settings of both planes. PORT is only for this command. */
function settings(): NodeJS.ProcessEnv {
  const given = Object.fromEntries(
    Object.entries(process.env).filter(([name, value]) => name !== 'PORT' && value !== ''),
  );
  return {
    REGISTRY_HTTP_SECRET: randomBytes(32).toString('hex'),
    ...defaultStorage(),
    REGISTRY_LOG_LEVEL: 'warn',
    ...given,
    // No update checks of serverless-offline.
    SLS_NOTIFICATIONS_MODE: 'off',
    SLS_TRACKING_DISABLED: '1',
  };
}

/** A folder of this project, whatever the working directory, unless a bucket is configured. */
function defaultStorage(): NodeJS.ProcessEnv {
  return configuresBucket(new Settings(process.env))
    ? {}
    : { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: join(root, '.registry') };
}

/** @throws Error if another program listens there */
async function assertFree(port: number): Promise<void> {
  const probe = createServer();
  try {
    probe.listen(port, host);
    await once(probe, 'listening');
  } catch (cause) {
    throw new Error(`Port ${port} is in use: set PORT to a free port whose next port is free as well.`, {
      cause,
    });
  } finally {
    probe.close();
  }
}

/** serverless-offline also opens a port for invocations, unused here, so any free one will do. */
async function offlineArguments(port: number): Promise<string[]> {
  const probe = createServer().listen(0, host);
  await once(probe, 'listening');
  const { port: lambdaPort } = probe.address() as { port: number };
  probe.close();
  const ports = ['--httpPort', String(port), '--lambdaPort', String(lambdaPort)];
  const preloads = ['joined-headers', 'offline-paths'].flatMap((name) => ['--import', `./infra/${name}.ts`]);
  const program = [...preloads, 'node_modules/serverless/bin/serverless.js'];
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

/** Once, in the background: the function's schedule runs only at midnight. */
function reindex(env: NodeJS.ProcessEnv): void {
  if (stopping) return;
  const args = ['--enable-source-maps', bundle, 'reindex'];
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: 'inherit' });
  children.set('reindex', child);
  child.once('exit', (code) => {
    children.delete('reindex');
    if (code !== 0 && !stopping) console.error('The list of repositories is stale; npm run reindex retries.');
  });
}

async function run(name: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`The ${name} failed.`);
}

async function waitFor(url: string, statuses: readonly number[]): Promise<void> {
  const deadline = Date.now() + startTimeoutMs;
  while (Date.now() < deadline && !stopping) {
    const response = await fetch(url).catch(() => undefined);
    await response?.body?.cancel();
    if (response !== undefined && statuses.includes(response.status)) return;
    await delay(200);
  }
  if (!stopping) throw new Error(`There is no response from ${url}.`);
}

/** serverless-offline tells the functions that clients use https, which challenges would repeat. */
function challengeHost(port: number): NodeJS.ProcessEnv {
  const hasAuth = (process.env['REGISTRY_AUTH'] ?? 'none') !== 'none';
  return hasAuth
    ? { REGISTRY_HTTP_HOST: `http://localhost:${port}`, REGISTRY_HTTP_RELATIVEURLS: 'true' }
    : {};
}

function greet(port: number, storage: string, isOpen: boolean): void {
  if (stopping) return;
  console.log(`
The registry listens at localhost:${port} and keeps its images in ${storage}.

  docker tag alpine localhost:${port}/alpine
  docker push localhost:${port}/alpine

Uploads and downloads of layers go through the data plane at localhost:${port + 1}. Ctrl-C stops both.${
    isOpen ? `\n${openWarning}` : ''
  }
`);
}

async function stop(code: number): Promise<void> {
  if (stopping) return;
  stopping = true;
  const all = [...children.values()];
  const ended = all.map(async (child) => {
    await once(child, 'exit');
  });
  for (const child of all) child.kill('SIGINT');
  await Promise.race([Promise.all(ended), delay(stopTimeoutMs)]);
  for (const child of all) child.kill('SIGKILL');
  process.exit(code);
}
