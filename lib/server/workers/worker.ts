import type { StreamingServer } from '../server.ts';
import type { FromWorker, ToWorker } from './messages.ts';

/** How often the number of requests in flight is reported, if it has changed. */
const reportIntervalMs = 200;

/**
 * Serves until the primary process says otherwise, or ends. Signals are ignored: Ctrl-C and systemd send them to all processes,
 * and the primary process stops each once.
 * @param start rejects if the server cannot start
 */
export async function serveAsWorker(start: () => Promise<StreamingServer>): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.removeAllListeners(signal).on(signal, () => undefined);
  // A stop may come before the server listens.
  const state: { server?: StreamingServer; stops: boolean } = { stops: false };
  process.on('message', (message: ToWorker) => {
    if (!('stowage' in message)) return;
    const { server } = state;
    if (message.stowage === 'unready') void sendUnready(server);
    else if (message.stowage === 'stop') void stop(server);
    else if (message.stowage === 'announce stop') {
      state.stops = true;
      server?.announceStop();
    }
  });
  send({ stowage: 'starting' });
  const server = await start();
  state.server = server;
  if (state.stops) server.announceStop();
  reportRequests(server);
  send({ stowage: 'listening', url: server.url });
}

/** One that does not listen yet is not in the way. */
async function sendUnready(server: StreamingServer | undefined): Promise<void> {
  send({ stowage: 'unready', names: (await server?.unready()) ?? [] });
}

async function stop(server: StreamingServer | undefined): Promise<void> {
  await server?.stop();
  process.exit(0);
}

function reportRequests(server: StreamingServer): void {
  let reported = 0;
  setInterval(() => {
    if (server.requests === reported) return;
    reported = server.requests;
    send({ stowage: 'requests', count: reported });
  }, reportIntervalMs).unref();
}

function send(message: FromWorker): void {
  process.send?.(message);
}
