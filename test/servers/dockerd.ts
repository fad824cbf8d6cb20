import { existsSync, rmdirSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { undoOnce } from './cleanup.ts';
import { temporaryFolder, type Folder } from './folder.ts';
import { cleanEnvironment, command, launch, type Output } from './process.ts';

/** Debian's client, which fits its daemon, where another one shadows it on the PATH. */
const DOCKER = existsSync('/usr/bin/docker') ? '/usr/bin/docker' : 'docker';

/** A docker daemon with nothing in it, which touches neither the network nor another daemon's files. */
export interface Dockerd {
  /** Runs the docker client against this daemon, with no configuration but its own and the classic builder. */
  readonly docker: (...args: string[]) => Promise<Output>;
  /** `docker login` at the host of a registry. */
  login(host: string, user: string, password: string): Promise<Output>;
  /** The file with the client's configuration, and its credentials. */
  readonly configFile: string;
  /** What the client keeps, with its credentials. */
  config(): Promise<string>;
  stop(): Promise<void>;
}

/** A registry with TLS that a daemon knows by a name. Docker verifies no certificate at 127.0.0.1. */
export interface KnownHost {
  /** Its name and port. */
  readonly host: string;
  /** Of the name. */
  readonly address: string;
  /** What docker keeps for it in `/etc/docker/certs.d`, by file name. */
  readonly files: Readonly<Record<string, string>>;
}

/**
 * Starts `dockerd`, which starts a containerd of its own. Needs root.
 * @param newFolder where it keeps its images
 * @param known what the daemon finds, without a change to the files of this machine
 * @param settings of its `daemon.json`
 */
export async function dockerd(
  newFolder = temporaryFolder,
  known?: KnownHost,
  settings: object = {},
): Promise<Dockerd> {
  const folder = await newFolder('dockerd');
  const removeShared = removeSharedFoldersAfterwards();
  const config = await writeConfig(folder, settings);
  const run = client(folder);
  const docker: Dockerd['docker'] = async (...args) => await run(args);
  const answers = async () => Boolean(await docker('version'));
  const args = daemonArguments(folder, config);
  const server =
    known === undefined
      ? await launch('dockerd', args, answers)
      : await launch('unshare', [...(await inOwnMounts(folder, known)), 'dockerd', ...args], answers);
  return {
    docker,
    login: async (host, user, password) =>
      await run(['login', '--username', user, '--password-stdin', host], password),
    configFile: configFile(folder),
    config: async () => await readFile(configFile(folder), 'utf8'),
    stop: async () => {
      await server.stop();
      folder.remove();
      removeShared();
    },
  };
}

/** Puts `/etc/docker` and `/etc/hosts` of its own before the daemon, in a mount namespace. */
async function inOwnMounts({ path }: Folder, { host, address, files }: KnownHost): Promise<string[]> {
  const [etc, hosts] = [join(path, 'etc'), join(path, 'hosts')];
  const certificates = join(etc, 'certs.d', host);
  await mkdir(certificates, { recursive: true });
  for (const [name, content] of Object.entries(files)) await writeFile(join(certificates, name), content);
  await writeFile(hosts, `127.0.0.1 localhost\n${address} ${host.replace(/:\d+$/, '')}\n`);
  const script =
    'mkdir -p /etc/docker && mount --bind "$1" /etc/docker && mount --bind "$2" /etc/hosts && shift 2 && exec "$@"';
  return ['--mount', 'sh', '-ec', script, 'sh', etc, hosts];
}

function client(folder: Folder): (args: readonly string[], input?: string) => Promise<Output> {
  const env = cleanEnvironment({ DOCKER_CONFIG: join(folder.path, 'client'), DOCKER_BUILDKIT: '0' });
  return async (args, input = '') =>
    await command(DOCKER, ['--host', socket(folder), ...args], { env, input });
}

function configFile({ path }: Folder): string {
  return join(path, 'client', 'config.json');
}

function socket(folder: Folder): string {
  return `unix://${join(folder.path, 'docker.sock')}`;
}

async function writeConfig(folder: Folder, settings: object): Promise<string> {
  await mkdir(join(folder.path, 'client'));
  const file = join(folder.path, 'daemon.json');
  const { text } = await command('dockerd', ['--version']);
  // Up to release 20.10 the daemon makes itself a key in /etc/docker; later ones have no such setting.
  const key = / (19|20)\./.test(text) ? { 'deprecated-key-path': join(folder.path, 'key.json') } : {};
  await writeFile(file, JSON.stringify({ ...key, ...settings }));
  return file;
}

function daemonArguments({ path }: Folder, config: string): string[] {
  const paths = {
    'config-file': config,
    'data-root': join(path, 'data'),
    'exec-root': join(path, 'exec'),
    pidfile: join(path, 'pid'),
    host: `unix://${join(path, 'docker.sock')}`,
  };
  const offTheNetwork = ['--iptables=false', '--ip6tables=false', '--ip-forward=false', '--bridge=none'];
  // vfs copies whole layers, and so works on every file system, even within a container.
  const rest = ['--storage-driver=vfs', '--log-level=warn'];
  return [...Object.entries(paths).map(([name, value]) => `--${name}=${value}`), ...offTheNetwork, ...rest];
}

/** The one place that dockerd lets nobody choose. Where this daemon was the first to make it, it goes with it. */
function removeSharedFoldersAfterwards(): () => void {
  const made = ['/run/docker/plugins', '/run/docker'].filter((path) => !existsSync(path));
  return undoOnce(() => {
    made.forEach(removeIfEmpty);
  });
}

function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Another daemon uses it by now, or removed it.
  }
}
