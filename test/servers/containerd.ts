import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';
import { command, launch, type Output } from './process.ts';

/** A containerd with nothing in it. */
export interface Containerd {
  /** Runs `ctr` against it. */
  ctr(...args: string[]): Promise<Output>;
  stop(): Promise<void>;
}

/** Starts `containerd` with folders and a socket of its own. Needs root. */
export async function containerd(): Promise<Containerd> {
  const folder = await temporaryFolder('containerd');
  const file = join(folder.path, 'config.toml');
  await writeFile(file, configuration(folder.path));
  const ctr = async (...args: string[]) =>
    await command('ctr', ['--address', join(folder.path, 'socket'), ...args]);
  const answers = async () => Boolean(await ctr('version'));
  const server = await launch('containerd', ['--config', file, '--log-level', 'warn'], answers);
  return {
    ctr,
    stop: async () => {
      await server.stop();
      folder.remove();
    },
  };
}

/** `opt` is a plugin that makes a folder below /var/lib unless told otherwise; `cri` is kubelet's, and wants a network. */
function configuration(path: string): string {
  return `
version = 2
root = "${path}/root"
state = "${path}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${path}/socket"
[ttrpc]
  address = "${path}/socket.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "${path}/opt"
`;
}
