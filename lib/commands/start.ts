import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError, loadConfig } from '../config/config.ts';
import { Settings } from '../config/settings.ts';
import { configuresBucket, describeStorage } from '../config/storage.ts';
import { assertCheckout, root } from './checkout.ts';
import { openWarning } from './open-warning.ts';
import { count, readArguments, type Command } from './command.ts';
import { memoryEnvironment, memoryFlags } from './low-memory.ts';
import { Children } from './start/children.ts';
import type { LocalProxy } from './start/proxy.ts';

/** Runs functions (under serverless-offline) and data plane with one generated secret. */
export const command: Command = {
  summary: 'run the functions and their data plane on this machine, from a checkout of the project',
  usage: `Usage: stowage start

Runs a registry on this machine as in the cloud: functions and their data plane, behind one port of 127.0.0.1, PORT (5000).
It builds them first, which needs a checkout of the project. Without one, use stowage serve.

Ctrl-C stops it once requests in flight have finished, a second one at once. It prints a line for each request with
REGISTRY_LOG_LEVEL=info.`,
  run: async (args) => {
    readArguments(args, {});
    return await start();
  },
};

const bundle = 'dist/stowage.mjs';
const host = '127.0.0.1';

const startTimeoutMs = 60_000;

/** How long requests in flight may take after a stop begins. */
const drainTimeoutMs = 60_000;

/** How long the processes may take to end when no request is in flight. */
const endTimeoutMs = 500;

/** Ctrl-C arrives twice: from the terminal and through npm. */
const repeatedSignalMs = 300;

const children = new Children(root);
let proxy: LocalProxy | undefined;
/** When a stop began. */
let stopping: number | undefined;

/** Resolves once the registry responds. A signal, or the end of either plane, ends the process. */
async function start(): Promise<number> {
  assertCheckout('it builds the functions from', 'stowage serve needs no checkout');
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void stop());
  try {
    await startPlanes();
  } catch (error) {
    if (stopping !== undefined) return 0;
    console.error(error instanceof Error ? error.message : error);
    await end(1);
  }
  return 0;
}

async function startPlanes(): Promise<void> {
  const given = process.env['PORT'] ?? '';
  const port = readPort(given === '' ? '5000' : given);
  const [url, namedUrl] = [`http://${host}:${port}`, `http://localhost:${port}`];
  const ports = await freePorts();
  const common = settings();
  const planes = {
    functions: { ...challengeHost(namedUrl), ...common, REGISTRY_HTTP_DATAPLANE: url },
    dataPlane: { ...common, REGISTRY_HTTP_HOST: url, REGISTRY_HTTP_ADDR: `${host}:${ports.dataPlane}` },
  };
  // The functions would report invalid settings only at the first request.
  const { auth, storage, search, readOnly, log } = loadConfig('functions', planes.functions);
  loadConfig('data-plane', planes.dataPlane);
  const { startProxy } = await import('./start/proxy.ts');
  proxy = await startProxy(port, { ...ports, urls: [url, namedUrl] }).catch((cause: unknown) => {
    throw portInUse(port, cause);
  });
  console.log('Building the functions …');
  const built = await children.run({ name: 'build', args: ['infra/bundle.ts'], env: process.env });
  if (built !== 0) throw new Error('The build failed.');
  const onEnd = (message: string) => {
    console.error(message);
    void end(1);
  };
  const quiet = log.level === 'warn' || log.level === 'error';
  children.start({ name: 'data plane', ...dataPlaneProgram(planes.dataPlane), quiet }, onEnd);
  children.start({ name: 'functions', ...functionsProgram(planes.functions, ports, quiet), quiet }, onEnd);
  // 401 where one must log in.
  const responses = [waitFor(ports.functions, [200, 401]), waitFor(ports.dataPlane, [404])];
  await Promise.all(responses);
  if (stopping !== undefined) return;
  children.ready();
  greet(port, describeStorage(storage), auth.kind === 'none');
  if (search.kind !== 'bucket' && !readOnly) void reindex(planes.functions);
}

function readPort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65535)
    throw new ConfigError([`PORT: ${JSON.stringify(text)} is not a port from 1 to 65535`]);
  return port;
}

function portInUse(port: number, cause: unknown): Error {
  const { code, message } = cause as NodeJS.ErrnoException;
  const text =
    code === 'EADDRINUSE'
      ? `Port ${port} is in use: set PORT to a free port.`
      : `${message}: set PORT to a port that you may use.`;
  return new Error(text, { cause });
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
    // Enough for one person.
    REGISTRY_HTTP_WORKERS: '1',
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

interface Ports {
  readonly functions: number;
  readonly dataPlane: number;
  /** At which serverless-offline takes invocations, which is unused here. */
  readonly invocations: number;
}

/** Free ports of this machine, for the processes behind the proxy. All are held until the last is known. */
async function freePorts(): Promise<Ports> {
  const [first, second, third] = [await listen(), await listen(), await listen()];
  const [functions, dataPlane, invocations] = [portOf(first), portOf(second), portOf(third)];
  for (const server of [first, second, third]) server.close();
  return { functions, dataPlane, invocations };
}

async function listen(): Promise<Server> {
  const server = createServer().listen(0, host);
  await once(server, 'listening');
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

function dataPlaneProgram(env: NodeJS.ProcessEnv) {
  const args = ['--enable-source-maps', ...memoryFlags, bundle, 'serve', 'data-plane'];
  return { args, env: { ...memoryEnvironment, ...env } };
}

function functionsProgram(env: NodeJS.ProcessEnv, ports: Ports, quiet: boolean) {
  const names = ['joined-headers', 'offline-paths', ...(quiet ? ['quiet-console'] : [])];
  const preloads = names.flatMap((name) => ['--import', `./infra/offline/${name}.ts`]);
  const args = [
    ...preloads,
    'node_modules/serverless/bin/serverless.js',
    ...['offline', 'start', '--config', 'serverless.offline.yml', '--host', host],
    ...['--httpPort', String(ports.functions), '--lambdaPort', String(ports.invocations)],
  ];
  return { args, env: { ...(quiet && { SLS_LOG_LEVEL: 'warning' }), ...env } };
}

/** Once, in the background: the function's schedule runs only at midnight. */
async function reindex(env: NodeJS.ProcessEnv): Promise<void> {
  const args = ['--enable-source-maps', bundle, 'reindex'];
  const code = await children.run({ name: 'reindex', args, env });
  if (code !== 0 && stopping === undefined)
    console.error('The list of repositories is stale; npm run reindex retries.');
}

/** @param port of the plane @param statuses of its response to `/v2/` */
async function waitFor(port: number, statuses: readonly number[]): Promise<void> {
  const url = `http://${host}:${port}/v2/`;
  const deadline = Date.now() + startTimeoutMs;
  while (Date.now() < deadline && stopping === undefined) {
    const response = await fetch(url).catch(() => undefined);
    await response?.body?.cancel();
    if (response !== undefined && statuses.includes(response.status)) return;
    await delay(200);
  }
  if (stopping === undefined) throw new Error(`There is no response from ${url}.`);
}

/** serverless-offline tells the functions that clients use https, which challenges would repeat. */
function challengeHost(url: string): NodeJS.ProcessEnv {
  const hasAuth = (process.env['REGISTRY_AUTH'] ?? 'none') !== 'none';
  return hasAuth ? { REGISTRY_HTTP_HOST: url, REGISTRY_HTTP_RELATIVEURLS: 'true' } : {};
}

function greet(port: number, storage: string, isOpen: boolean): void {
  console.log(`
The registry listens at localhost:${port} and keeps its images in ${storage}.

  docker tag alpine localhost:${port}/alpine
  docker push localhost:${port}/alpine

Ctrl-C stops it. REGISTRY_LOG_LEVEL=info prints a line for each request.${isOpen ? `\n${openWarning}` : ''}
`);
}

/** On a signal. The second one ends requests in flight. */
async function stop(): Promise<void> {
  if (stopping !== undefined) {
    if (performance.now() - stopping > repeatedSignalMs) await end(0);
    return;
  }
  stopping = performance.now();
  const inFlight = proxy?.inFlight() ?? 0;
  if (inFlight > 0)
    console.error(
      `Waiting for ${count(inFlight, 'request')}, ${drainTimeoutMs / 1000} s at most. Ctrl-C again ends ${
        inFlight === 1 ? 'it' : 'them'
      }.`,
    );
  await proxy?.drain(drainTimeoutMs);
  await end(0);
}

async function end(code: number): Promise<never> {
  stopping ??= performance.now();
  await children.stop(endTimeoutMs);
  process.exit(code);
}
