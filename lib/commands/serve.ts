import { ConfigError, type Config } from '../config/config.ts';
import { loadConfigFile } from '../config/file/load.ts';
import { describeStorage } from '../config/storage.ts';
import { onlyFile, readOptions, reasonOf, type Command } from './command.ts';
import { openWarning } from './open-warning.ts';
import { ensureLowMemory } from './low-memory.ts';
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
    return await serve(isDataPlane ? 'data-plane' : 'server', file);
  },
};

/** Resolves once the server listens, or fails to. @throws ConfigError */
async function serve(program: 'server' | 'data-plane', file: string | undefined): Promise<number> {
  // A container's first process ignores signals without a listener, and a start may wait for its storage.
  for (const signal of stopSignals) process.once(signal, () => process.exit(0));
  const { config, notes } = await loadConfigFile(program, file);
  for (const note of notes) console.error(note);
  const [{ startServer }, { collectWhenIdle }] = await Promise.all([
    import('../server/server.ts'),
    import('../server/idle-collection.ts'),
  ]);
  try {
    const server = await startServer(program, config);
    collectWhenIdle();
    if (program === 'server') greet(server.url, config);
    else console.error(`The data plane listens at ${server.url}, for the functions at ${config.host ?? ''}.`);
    stopAtSignals(server, config.drainTimeoutMs);
    return 0;
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    console.error(explain(error));
    return 1;
  }
}

function greet(url: string, { auth, storage, secretIsGenerated }: Config): void {
  console.error(`The registry listens at ${url} and keeps its images in ${describeStorage(storage)}.`);
  if (auth.kind === 'none') console.error(openWarning);
  if (secretIsGenerated)
    console.error(
      'REGISTRY_HTTP_SECRET is not set: this process generated one, so a restart breaks uploads in progress. ' +
        'Set it if several instances serve one storage.',
    );
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, syscall, address } = error as NodeJS.ErrnoException & { address?: string };
  if (syscall === 'listen' && address?.startsWith('/') === true)
    return code === 'EADDRINUSE'
      ? `${error.message}: another program listens at this socket, or the file is no socket; set REGISTRY_HTTP_ADDR to another path.`
      : `${error.message}: set REGISTRY_HTTP_ADDR to a path in a folder that exists and that this user may write.`;
  if (code === 'EADDRINUSE')
    return `${error.message}: another program listens there; set REGISTRY_HTTP_ADDR to another host:port.`;
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EACCES')
    return `${error.message}: set REGISTRY_HTTP_ADDR to an address of this machine, such as 127.0.0.1:5000 or :5000.`;
  return `The registry cannot start: ${reasonOf(error)}`;
}
