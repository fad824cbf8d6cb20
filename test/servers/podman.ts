import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';
import { cleanEnvironment, command, type Output } from './process.ts';

/** A podman with images, logins and settings of its own. It runs no containers. */
export interface Podman {
  readonly folder: string;
  /** Where it keeps logins. */
  readonly authFile: string;
  run(...args: string[]): Promise<Output>;
  remove(): void;
}

/** As root, podman remembers blobs in /var/lib/containers whatever it is told, so it sees a folder of its own there. */
const script = 'mount --bind "$0" /var/lib && exec podman "$@"';

/** Makes a podman ready to use. Needs root. */
export async function podman(): Promise<Podman> {
  const folder = await temporaryFolder('podman');
  const place = (name: string) => join(folder.path, name);
  await mkdir(place('cache'));
  await writeFile(place('containers.conf'), '[engine]\n');
  await writeFile(place('registries.conf'), '');
  const env = cleanEnvironment({
    HOME: folder.path,
    TMPDIR: folder.path,
    XDG_RUNTIME_DIR: folder.path,
    XDG_CONFIG_HOME: folder.path,
    XDG_DATA_HOME: folder.path,
    CONTAINERS_CONF: place('containers.conf'),
    CONTAINERS_REGISTRIES_CONF: place('registries.conf'),
    REGISTRY_AUTH_FILE: place('auth.json'),
  });
  // vfs copies whole layers, and so works on every file system, even within a container.
  const common = [
    ...['--root', place('images'), '--runroot', place('run'), '--tmpdir', place('tmp')],
    ...['--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs', '--events-backend', 'none'],
  ];
  return {
    folder: folder.path,
    authFile: place('auth.json'),
    run: async (...args) =>
      await command('unshare', ['--mount', 'sh', '-c', script, place('cache'), ...common, ...args], {
        env,
        cwd: folder.path,
      }),
    remove: () => {
      folder.remove();
    },
  };
}
