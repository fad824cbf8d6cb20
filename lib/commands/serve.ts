import { ConfigError, loadConfig, type Config } from '../config/config.ts';
import { describeStorage } from '../config/storage.ts';
import type { StreamingServer } from '../server/server.ts';
import { readArguments, reasonOf, type Command } from './command.ts';
import { keepMemoryLow } from './low-memory.ts';

/** The streaming server: the whole registry, or with the argument `data-plane` what serves beside functions. */
export const command: Command = {
  summary: 'serve a registry, or the data plane beside functions, until SIGTERM or Ctrl-C',
  usage: `Usage: stowage serve [data-plane]

Serves a registry at REGISTRY_HTTP_ADDR (127.0.0.1:5000) until SIGTERM or Ctrl-C; requests under way are finished first.

  data-plane  serve uploads and downloads of layers beside functions, on the same storage`,
  run: async (args) => {
    const { word } = readArguments(args, {}, ['data-plane']);
    keepMemoryLow();
    return await serve(word === undefined ? 'server' : 'data-plane');
  },
};

/** Resolves once it listens, or cannot. @throws ConfigError */
async function serve(program: 'server' | 'data-plane'): Promise<number> {
  const config = loadConfig(program);
  const [{ startServer }, { collectWhenIdle }] = await Promise.all([
    import('../server/server.ts'),
    import('../server/idle-collection.ts'),
  ]);
  try {
    const server = await startServer(program, config);
    collectWhenIdle();
    if (program === 'server') greet(server.url, config);
    else
      console.error(`The data plane listens at ${server.url}, beside the functions at ${config.host ?? ''}.`);
    stopAtSignals(server);
    return 0;
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    console.error(explain(error));
    return 1;
  }
}

function greet(url: string, { storage, secretIsOwn }: Config): void {
  console.error(`The registry listens at ${url} and keeps its images in ${describeStorage(storage)}.`);
  if (secretIsOwn)
    console.error(
      'REGISTRY_HTTP_SECRET is not set: this process made its own, so uploads under way end with it. ' +
        'Set it when several instances serve one storage.',
    );
}

function stopAtSignals(server: StreamingServer): void {
  let stopping = false;
  const stop = async () => {
    // A signal to the whole group comes twice: from the terminal and through npm.
    if (stopping) return;
    stopping = true;
    console.error('Stopping: waiting for requests under way.');
    await server.stop();
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop());
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE')
    return `${error.message}: another program listens there; set REGISTRY_HTTP_ADDR to another host:port.`;
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EACCES')
    return `${error.message}: set REGISTRY_HTTP_ADDR to an address of this machine, such as 127.0.0.1:5000 or :5000.`;
  return `The registry cannot start: ${reasonOf(error)}`;
}
