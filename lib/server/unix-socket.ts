import { once } from 'node:events';
import { lstat, unlink } from 'node:fs/promises';
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
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || !(await isAbandoned(path))) throw error;
    await unlink(path);
    await listen(server, path, backlog);
  }
}

async function listen(server: Server, path: string, backlog: number): Promise<void> {
  server.listen({ path, backlog });
  await once(server, 'listening');
}

async function isAbandoned(path: string): Promise<boolean> {
  if (!(await lstat(path)).isSocket()) return false;
  const probe = connect(path);
  try {
    await once(probe, 'connect');
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';
  } finally {
    probe.destroy();
  }
}
