import { once } from 'node:events';
import { linkSync, lstatSync, rmSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { basename, dirname, join } from 'node:path';

/**
 * Listens at a Unix socket. A file that a killed process left is replaced, if it is a socket and nobody listens there. When
 * the server closes, the file is removed if it is still its own.
 * @throws Error EADDRINUSE
 */
export async function listenAtSocket(server: Server, path: string, backlog: number): Promise<void> {
  // Where a server has bound its socket, the system removes whatever is there when it closes, so it gets its name by a link.
  const bound = join(dirname(path), `.${basename(path)}`);
  try {
    await replacing(bound, async () => {
      await listen(server, bound, backlog);
    });
    // The other workers of a primary process share a socket that the first of them has linked.
    if (identityOf(bound) === undefined) return;
    await replacing(path, () => {
      link(bound, path);
    });
  } catch (error) {
    server.close();
    throw named(error, bound, path);
  }
  rmSync(bound, { force: true });
  const own = identityOf(path);
  server.once('close', () => {
    if (identityOf(path) === own) rmSync(path, { force: true });
  });
}

async function listen(server: Server, path: string, backlog: number): Promise<void> {
  server.listen({ path, backlog });
  await once(server, 'listening');
}

function link(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Another worker was faster.
    if (code === 'ENOENT' || (code === 'EEXIST' && identityOf(from) === identityOf(to))) return;
    if (code !== 'EEXIST') throw error;
    const message = `listen EADDRINUSE: address already in use ${to}`;
    throw Object.assign(new Error(message), { code: 'EADDRINUSE', syscall: 'listen', address: to });
  }
}

/** Makes a socket file, if necessary after the removal of an abandoned one. */
async function replacing(path: string, make: () => void | Promise<void>): Promise<void> {
  try {
    await make();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    await removeAbandoned(path, error);
    await make();
  }
}

/** The error with the path that the operator knows. */
function named(error: unknown, bound: string, path: string): unknown {
  if (!(error instanceof Error)) return error;
  error.message = error.message.replace(bound, path);
  return 'address' in error ? Object.assign(error, { address: path }) : error;
}

/** @throws the error if somebody listens, or it is no socket */
async function removeAbandoned(path: string, error: unknown): Promise<void> {
  const before = identityOf(path);
  if (before === undefined) return;
  if (!(await isAbandoned(path))) throw error;
  // Another worker may have replaced it by now.
  if (identityOf(path) === before) rmSync(path, { force: true });
}

/** What no other file has, also not a later one with the same inode number. Undefined if there is none. */
function identityOf(path: string): string | undefined {
  const found = lstatSync(path, { throwIfNoEntry: false, bigint: true });
  return found && [found.dev, found.ino, found.birthtimeNs].join(' ');
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
