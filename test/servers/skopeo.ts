import { chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder, type Folder } from './folder.ts';
import { cleanEnvironment, command, type Launch, type Output } from './process.ts';

/** The skopeo client with configuration, credentials and caches of its own, talking plain HTTP. */
export interface Skopeo {
  /** Where the image layouts that it reads or writes must lie. */
  readonly folder: string;
  /** Where it keeps logins. */
  readonly authFile: string;
  /** Copies an image, or with `--all` an index with all its images. References are skopeo's: `docker://`, `oci:`. */
  copy(from: string, to: string, ...flags: string[]): Promise<Output>;
  inspect(reference: string, ...flags: string[]): Promise<Output>;
  listTags(repository: string): Promise<Output>;
  delete(reference: string): Promise<Output>;
  /** Logs in at the host of a registry. */
  login(host: string, user: string, password: string): Promise<Output>;
  logout(host: string): Promise<Output>;
  remove(): void;
}

/** `nobody` on every Linux. */
const NOBODY = 65534;

/** Makes a skopeo ready to use. */
export async function skopeo(): Promise<Skopeo> {
  const folder = await temporaryFolder('skopeo');
  const launch = await unprivileged(folder);
  const plain = '--tls-verify=false';
  const common = [
    '--policy',
    join(folder.path, 'policy.json'),
    '--registries.d',
    join(folder.path, 'registries.d'),
  ];
  const run = async (...args: string[]) => await command('skopeo', [...common, ...args], launch);
  const login: Skopeo['login'] = async (host, user, password) => {
    const args = ['login', plain, '--username', user, '--password-stdin', host];
    return await command('skopeo', [...common, ...args], { ...launch, input: password });
  };
  return {
    folder: folder.path,
    authFile: join(folder.path, 'auth.json'),
    copy: async (from, to, ...flags) =>
      await run('copy', '--src-tls-verify=false', '--dest-tls-verify=false', ...flags, from, to),
    inspect: async (reference, ...flags) => await run('inspect', plain, ...flags, reference),
    listTags: async (repository) => await run('list-tags', plain, repository),
    delete: async (reference) => await run('delete', plain, reference),
    login,
    logout: async (host) => await run('logout', host),
    remove: () => {
      folder.remove();
    },
  };
}

/**
 * As root, skopeo remembers blobs in /var/lib/containers whatever it is told; as another user it keeps to its
 * environment, so there it runs as nobody, in a folder that is nobody's.
 */
async function unprivileged({ path }: Folder): Promise<Launch> {
  await mkdir(join(path, 'registries.d'));
  await writeFile(join(path, 'policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
  await writeFile(join(path, 'registries.conf'), '');
  const env = cleanEnvironment({
    HOME: path,
    XDG_DATA_HOME: path,
    XDG_CONFIG_HOME: path,
    XDG_RUNTIME_DIR: path,
    TMPDIR: path,
    REGISTRY_AUTH_FILE: join(path, 'auth.json'),
    CONTAINERS_REGISTRIES_CONF: join(path, 'registries.conf'),
  });
  if (process.getuid?.() !== 0) return { env, cwd: path };
  await chown(path, NOBODY, NOBODY);
  return { env, cwd: path, uid: NOBODY, gid: NOBODY };
}
