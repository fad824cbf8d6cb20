import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { memoryEnvironment, memoryFlags } from '../../lib/commands/low-memory.ts';
import { keepLog, keepSecrets } from '../logs/kept.ts';
import { freePort } from './ports.ts';
import { cleanEnvironment, launch, type Server } from './process.ts';
import { programFile } from './programs.ts';
import { startProxy } from './proxy.ts';
import { serves, type Registry } from './registry.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));

/** This project's registry as a process of its own. Stopping it fails unless it exits with 0. */
export interface Stowage extends Registry {
  readonly pid: number;
  readonly output: () => string;
  /** Ends it as Ctrl-C does, unless at SIGTERM, after which it takes requests for five seconds more. */
  stop(signal?: 'SIGINT' | 'SIGTERM'): Promise<void>;
  /** Ends it as a lost machine does, with no time to tidy up. Stopping it afterwards is fine. */
  kill(): Promise<void>;
}

/** Where images are: a folder, or the settings of any store. */
export type Place = string | Readonly<Record<string, string>>;

/** How to start a registry of this version at a place: {@link serve} or {@link start}. */
export type Launch = (place: Place, env?: NodeJS.ProcessEnv) => Promise<Stowage>;

/** What to start, as node takes it: a file with its arguments. */
export type Program = readonly [file: string, ...args: string[]];

/** The programs of one version of this project. */
export interface Version {
  /** The streaming server. */
  readonly server: Program;
  /** The functions behind a gateway. */
  readonly functions: Program;
  /** Settings of the streaming server that a test does not ask for. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** The version that is checked out. */
export function thisVersion(): Version {
  return {
    server: [programFile('lib/commands/stowage.ts'), 'serve'],
    functions: [programFile('test/servers/functions.ts')],
    // A test that kills it or measures its memory means one process.
    settings: { REGISTRY_HTTP_WORKERS: '1' },
  };
}

/**
 * `npm run serve`: the streaming server alone.
 * @param env what the registry reads beside its place, and its address where that is not to be a free port
 * @param answers whether it is ready; by plain HTTP unless given
 */
export async function serve(
  place: Place,
  env: NodeJS.ProcessEnv = {},
  { server, settings }: Version = thisVersion(),
  answers?: () => Promise<boolean>,
): Promise<Stowage> {
  const address = env['REGISTRY_HTTP_ADDR'] ?? `127.0.0.1:${await freePort()}`;
  const ready = answers ?? (async () => await serves(address));
  return registry(
    address,
    await run(server, place, { ...settings, ...env, REGISTRY_HTTP_ADDR: address }, ready),
  );
}

/** `npm start`: the functions behind a local gateway and the data plane, at one port. */
export async function start(place: Place, env: NodeJS.ProcessEnv = {}): Promise<Stowage> {
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const ready = async () => await serves(address);
  return registry(
    address,
    await run(['lib/commands/stowage.ts', 'start'], place, { PORT: String(port), ...env }, ready),
  );
}

/**
 * The functions behind a gateway with API Gateway's limits, as one process. It has no tidy end: a signal ends it, as Lambda
 * ends an instance.
 */
export async function functions(
  place: Place,
  env: NodeJS.ProcessEnv = {},
  version: Version = thisVersion(),
): Promise<Stowage> {
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const ready = async () => await serves(address);
  const server = await run(version.functions, place, { PORT: String(port), ...env }, ready);
  const kill = async () => {
    process.kill(server.pid, 'SIGKILL');
    await server.stop();
  };
  return { address, pid: server.pid, output: () => server.output(), kill, stop: kill };
}

/**
 * The functions, and the data plane beside them, at the one address of a proxy. That gives the data plane what belongs to an
 * upload that has begun, and the blobs of a folder, whose URLs it signs itself.
 * @param versions of the functions, and of the data plane
 * @param env what the functions read beside their place, which the data plane does not know
 */
export async function functionsAndDataPlane(
  place: Place,
  [ofFunctions, ofDataPlane]: readonly [Version, Version] = [thisVersion(), thisVersion()],
  env: NodeJS.ProcessEnv = {},
): Promise<Stowage> {
  const upstreams = { functions: '', dataPlane: `127.0.0.1:${await freePort()}` };
  const proxy = await startProxy(({ url = '' }) =>
    /^\/v2\/.+\/blobs\/uploads\/[^/?]|^\/v2\/[^?]+\/blobs\/[^?]+\?.*signature=/.test(url)
      ? upstreams.dataPlane
      : upstreams.functions,
  );
  const url = `http://${proxy.address}`;
  const common = { REGISTRY_HTTP_SECRET: randomBytes(32).toString('hex'), REGISTRY_HTTP_HOST: url };
  const address = upstreams.dataPlane;
  const ready = async () => await listens(address);
  const ofServer = { ...ofDataPlane.settings, ...common, REGISTRY_HTTP_ADDR: address };
  const dataPlane = registry(
    address,
    await run([...ofDataPlane.server, 'data-plane'], place, ofServer, ready),
  );
  const behind = await functions(place, { ...env, ...common, REGISTRY_HTTP_DATAPLANE: url }, ofFunctions);
  upstreams.functions = behind.address;
  const stop = async () => {
    await proxy.stop();
    await Promise.all([dataPlane.stop(), behind.stop()]);
  };
  const output = () => `${behind.output()}\n${dataPlane.output()}`;
  return { address: proxy.address, pid: behind.pid, output, kill: stop, stop };
}

/** What a registry, ours or distribution, reads to keep its images in a place. */
export function placeSettings(place: Place): Readonly<Record<string, string>> {
  return typeof place === 'string' ? { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: place } : place;
}

async function run(program: Program, place: Place, env: NodeJS.ProcessEnv, ready: () => Promise<boolean>) {
  const settings = { ...placeSettings(place), ...memoryEnvironment, ...env };
  keepSecrets(settings);
  const options = { cwd: PROJECT, env: cleanEnvironment(settings), logged: keepLog() };
  return await launch(process.execPath, [...memoryFlags, ...program], ready, options);
}

function registry(address: string, server: Server): Stowage {
  let killed = false;
  return {
    address,
    pid: server.pid,
    output: () => server.output(),
    kill: async () => {
      killed = true;
      try {
        process.kill(server.pid, 'SIGKILL');
      } catch {
        assert.fail(`it had ended before it was killed:\n${server.output()}`);
      }
      const exit = await server.stop();
      assert.equal(exit.signal, 'SIGKILL', `it had ended before it was killed:\n${server.output()}`);
    },
    stop: async (signal: 'SIGINT' | 'SIGTERM' = 'SIGINT') => {
      const exit = await server.stop(signal);
      if (!killed)
        assert.deepEqual(exit, { code: 0, signal: null }, `it did not exit with 0:\n${server.output()}`);
    },
  };
}

/** Beside functions the data plane answers 404 to all but uploads and signed URLs: any answer will do. */
async function listens(address: string): Promise<boolean> {
  const response = await fetch(`http://${address}/v2/`);
  await response.body?.cancel();
  return true;
}
