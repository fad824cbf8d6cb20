/*
 * The streaming server as a program: `npm run serve` is the whole registry; with the argument `data-plane` it serves
 * beside functions. Settings come from the environment.
 *
 * Run it with --max-semi-space-size=2: the pieces of a body that pass are small objects to V8 with much memory outside of
 * its heap, so it should look for dead ones often. It takes 40 to 60 MB less. With --heap-growing-percent=20 V8 does not let
 * its heap grow to a multiple of what is alive there under load: some 200 MB. With MALLOC_ARENA_MAX=1,
 * MALLOC_MMAP_THRESHOLD_=65536 and MALLOC_TRIM_THRESHOLD_=4194304 in the environment glibc gives the memory of buffers back when they are freed.
 */
import './require-node.ts';
import { ConfigError, loadConfig, type Config } from '../config/config.ts';
import { describeStorage } from '../config/storage.ts';
import { collectWhenIdle } from '../server/idle-collection.ts';
import { reasonOf } from './program.ts';
import { startServer, type StreamingServer } from '../server/server.ts';

let stopping = false;

try {
  const program = readProgram(process.argv.slice(2));
  const config = loadConfig(program);
  const server = await startServer(program, config);
  collectWhenIdle();
  if (program === 'server') greet(server.url, config);
  else
    console.error(`The data plane listens at ${server.url}, beside the functions at ${config.host ?? ''}.`);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop(server));
} catch (error) {
  console.error(explain(error));
  process.exitCode = 1;
}

function readProgram(args: readonly string[]): 'server' | 'data-plane' {
  if (args.length === 0) return 'server';
  if (args.length === 1 && args[0] === 'data-plane') return 'data-plane';
  throw new Error(`it takes no argument, or data-plane, but not ${JSON.stringify(args.join(' '))}`);
}

function greet(url: string, { storage, secretIsOwn }: Config): void {
  console.error(`The registry listens at ${url} and keeps its images in ${describeStorage(storage)}.`);
  if (secretIsOwn)
    console.error(
      'REGISTRY_HTTP_SECRET is not set: this process made its own, so uploads under way end with it. ' +
        'Set it when several instances serve one storage.',
    );
}

async function stop(server: StreamingServer): Promise<void> {
  // A signal to the whole group comes twice: from the terminal and through npm.
  if (stopping) return;
  stopping = true;
  console.error('Stopping: waiting for requests under way.');
  await server.stop();
  process.exit(0);
}

function explain(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE')
    return `${error.message}: another program listens there; set REGISTRY_HTTP_ADDR to another host:port.`;
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EACCES')
    return `${error.message}: set REGISTRY_HTTP_ADDR to an address of this machine, such as 127.0.0.1:5000 or :5000.`;
  return `The registry cannot start: ${reasonOf(error)}`;
}
