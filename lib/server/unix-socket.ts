import { once } from 'node:events';
import { lstatSync, rmSync } from 'node:fs';
import { connect, type Server } from 'node:net';

/**
 * Listens at a Unix socket. A file that a killed process left is replaced, if it is a socket and nobody listens there. The
 * system removes the file when the server closes.
 * @throws Error EADDRINUSE
 */
export async function listenAtSocket(server: Server, path: string, backlog: number): Promise<void> {
  try {
    await listen(server, path, backlog);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    await removeAbandoned(path, error);
    await listen(server, path, backlog);
  }
}

async function listen(server: Server, path: string, backlog: number): Promise<void> {
  server.listen({ path, backlog });
  await once(server, 'listening');
}

/** @throws the error if somebody listens, or it is no socket */
async function removeAbandoned(path: string, error: unknown): Promise<void> {
  const before = inodeOf(path);
  if (before === undefined) return;
  if (!(await isAbandoned(path))) throw error;
  // Another worker may have replaced it by now.
  if (inodeOf(path) === before) rmSync(path, { force: true });
}

function inodeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino;
}

async function isAbandoned(path: string): Promise<boolean> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false) return false;
  const probe = connect(path);
  try {
    await once(probe, 'connect');
    return false;
  } catch (error) {
    return ['ECONNREFUSED', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '');
  } finally {
    probe.destroy();
  }
}
