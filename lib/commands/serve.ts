import cluster from 'node:cluster';
import { ConfigError, loadConfig, type Config } from '../config/config.ts';
import { loadConfigFile } from '../config/file/load.ts';
import { configurationPath } from '../config/file/merge.ts';
import { namedSecrets, withSecrets } from '../config/secrets.ts';
import type { Environment } from '../config/variables.ts';
import { describeStorage } from '../config/storage.ts';
import { onlyFile, readOptions, reasonOf, type Command } from './command.ts';
import { openReadOnlyWarning, openWarning } from './open-warning.ts';
import { ensureLowMemory } from './low-memory.ts';
import { defaultWorkers } from '../server/workers/available-cores.ts';
import { StartFailed } from '../server/workers/start-failed.ts';
import type { StreamingServer } from '../server/server.ts';
import type { Workers } from '../server/workers/primary.ts';
import { stopAtSignals, stopSignals } from './stop-at-signals.ts';

export const command: Command = {
  summary: 'serve a registry, or the data plane beside functions, until SIGTERM or Ctrl-C',
  usage: `Usage: stowage serve [data-plane] [FILE]

Serves a registry at REGISTRY_HTTP_ADDR (127.0.0.1:5000) until SIGTERM or Ctrl-C. Requests in flight finish first.

  data-plane  serve only uploads and downloads of layers, for functions on the same storage
  FILE        a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH; variables override it`,
  run: async (args) => {
    const { positionals } = readOptions(args, {});
    const isDataPlane = positionals[0] === 'data-plane';
    const file = onlyFile(positionals.slice(isDataPlane ? 1 : 0), ['data-plane']);
    ensureLowMemory();
    const program = isDataPlane ? 'data-plane' : 'server';
    return cluster.isWorker ? await work(program) : await serve(program, file);
  },
};

type ServerProgram = 'server' | 'data-plane';

/** Resolves once the server listens, or fails to. @throws ConfigError */
async function serve(program: ServerProgram, file: string | undefined): Promise<number> {
  // A container's first process ignores signals without a listener, and a start may wait for its storage.
  for (const signal of stopSignals) process.once(signal, () => process.exit(0));
  const { config, environment, path, differences, notes } = await loadConfigFile(
    program,
    file,
    await variablesOf(process.env),
  );
  // Somebody with a file comes from distribution.
  if (path !== undefined) console.error(differences);
  for (const note of notes) console.error(note);
  try {
    const server = await startProcesses(program, config, environment);
    stopAtSignals(server, config.drainTimeoutMs);
    if ('startOthers' in server) await server.startOthers();
    if (program === 'server') greet(server.url, config);
    else console.error(`The data plane listens at ${server.url}, for the functions at ${config.host ?? ''}.`);
    return 0;
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    if (!(error instanceof StartFailed)) console.error(explain(error));
    else if (error.signal !== null) console.error(`The registry cannot start: ${error.message}.`);
    return error instanceof StartFailed ? error.exitCode : 1;
  }
}

/** With the settings of secrets, whose client is loaded for these alone. @throws ConfigError */
async function variablesOf(environment: Environment): Promise<Environment> {
  const ids = namedSecrets(environment);
  if (ids.length === 0) return environment;
  const { retrieveSecrets } = await import('../compose-secrets.ts');
  return withSecrets(await retrieveSecrets(ids), environment);
}

/** One process serves alone. More are started and watched by this one, which then serves nothing. */
async function startProcesses(
  program: ServerProgram,
  config: Config,
  environment: Environment,
): Promise<StreamingServer | Workers> {
  // Each must be able to take an upload.
  const count = Math.min(config.workers ?? (await defaultWorkers()), config.maxUploads);
  if (count === 1) return await startServing(program, { ...config, workers: 1 });
  return await startWorkers(count, config, environment);
}

/** @param environment all settings, so that a worker which starts later has the same */
async function startWorkers(count: number, config: Config, environment: Environment): Promise<Workers> {
  const [{ Workers }, { startPrimaryDebugServer }] = await Promise.all([
    import('../server/workers/primary.ts'),
    import('../server/observers.ts'),
  ]);
  const [secret] = config.secrets;
  const workers = new Workers({
    count,
    drainTimeoutMs: config.drainTimeoutMs,
    env: {
      // What this process has and the settings lack is empty, which counts as not set.
      ...Object.fromEntries(Object.keys(process.env).map((name) => [name, ''])),
      ...environment,
      [configurationPath]: '',
      REGISTRY_HTTP_WORKERS: String(count),
      ...(config.secretIsGenerated && { REGISTRY_HTTP_SECRET: secret }),
    },
    report: (message) => {
      console.error(message);
    },
  });
  const stopDebugServer = await startPrimaryDebugServer(config, async () => await workers.unready());
  await workers.startFirst().catch(async (error: unknown) => {
    // What listens keeps the process alive.
    await stopDebugServer();
    throw error;
  });
  return workers;
}

/** A worker, which prints only why it cannot start. Its settings are all in its environment. */
async function work(program: ServerProgram): Promise<number> {
  const { serveAsWorker } = await import('../server/workers/worker.ts');
  try {
    await serveAsWorker(async () => await startServing(program, loadConfig(program)));
    return 0;
  } catch (error) {
    console.error(error instanceof ConfigError ? error.message : explain(error));
    // The channel to the primary process would keep this one alive.
    process.exit(1);
  }
}

async function startServing(program: ServerProgram, config: Config): Promise<StreamingServer> {
  const [{ startServer }, { collectWhenIdle }] = await Promise.all([
    import('../server/server.ts'),
    import('../server/idle-collection.ts'),
  ]);
  const server = await startServer(program, config);
  collectWhenIdle();
  return server;
}

function greet(url: string, { auth, storage, secretIsGenerated, readOnly, upstreams }: Config): void {
  console.error(`The registry listens at ${url} and keeps its images in ${describeStorage(storage)}.`);
  const isReadOnly = readOnly || upstreams.some(({ prefix }) => prefix === '');
  if (auth.kind === 'none') console.error(isReadOnly ? openReadOnlyWarning : openWarning);
  if (secretIsGenerated)
    console.error(
      'REGISTRY_HTTP_SECRET is not set: this process generated one, so a restart breaks uploads in progress. ' +
        'Set it if several instances serve one storage.',
    );
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, syscall, address } = error as NodeJS.ErrnoException & { address?: string };
  // A worker's address is bound by its primary.
  if ((syscall === 'listen' || syscall === 'bind') && address?.startsWith('/') === true)
    return code === 'EADDRINUSE'
      ? `${error.message}: another program listens at this socket, or the file is no socket; set REGISTRY_HTTP_ADDR to another path.`
      : `${error.message}: set REGISTRY_HTTP_ADDR to a path in a folder that exists and that this user may write.`;
  if (code === 'EADDRINUSE')
    return `${error.message}: another program listens there; set REGISTRY_HTTP_ADDR to another host:port.`;
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EACCES')
    return `${error.message}: set REGISTRY_HTTP_ADDR to an address of this machine, such as 127.0.0.1:5000 or :5000.`;
  return `The registry cannot start: ${reasonOf(error)}`;
}
