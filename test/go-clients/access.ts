import { createHash } from 'node:crypto';
import type { AccessClient } from '../clients/access.ts';
import { TAG, readBlobs, writeImage } from '../clients/images.ts';
import { onNewDaemon } from './buildkit.ts';
import { podmanAccess } from './podman.ts';
import type { ClientName } from './options.ts';
import type { Tool } from './tool.ts';

/** Clients that log in, each with a first and a second image that it can push. */
export const accessClients: Readonly<Partial<Record<ClientName, (tool: Tool) => Promise<AccessClient>>>> = {
  crane,
  oras,
  regctl,
  helm: (tool) => Promise.resolve(helm(tool)),
  buildkit,
  podman: podmanAccess,
};

const images = ['first', 'second'] as const;

/** How a client copies between layouts and registries. */
interface LayoutCommands {
  readonly push: (layout: string, reference: string) => Promise<unknown>;
  /** @param folder that does not exist yet */
  readonly pull: (reference: string, folder: string) => Promise<unknown>;
}

/** Writes the images as layouts. An image is told from others by its blobs. */
async function withLayouts(
  tool: Tool,
  { push, pull }: LayoutCommands,
): Promise<Pick<AccessClient, 'push' | 'pull'>> {
  for (const image of images) await writeImage(await tool.newFolder(image), [100_000]);
  const blobsOf = async (folder: string) => (await readBlobs(tool.path(folder))).join();
  let pulls = 0;
  return {
    push: async (reference, image = 'first') => {
      await push(tool.path(image), reference);
      return await blobsOf(image);
    },
    pull: async (reference) => {
      const folder = `pulled-${++pulls}`;
      await pull(reference, tool.path(folder));
      return await blobsOf(folder);
    },
  };
}

/** Runs a command that reads a password from its standard input. */
async function withPassword(tool: Tool, password: string, ...args: string[]): Promise<void> {
  await tool.write('password', password);
  await tool.runWith({ input: 'password' }, ...args);
}

/** Its login looks at no registry. */
async function crane(tool: Tool): Promise<AccessClient> {
  const commands = await withLayouts(tool, {
    push: async (layout, reference) => await tool.run('push', layout, reference),
    pull: async (reference, folder) => await tool.run('pull', '--format=oci', reference, folder),
  });
  return {
    ...commands,
    showsRules: true,
    expiry: { after: 'PATCH' },
    login: async (host, user, password) => {
      await withPassword(tool, password, 'auth', 'login', host, '--username', user, '--password-stdin');
    },
    logout: async (host) => await tool.run('auth', 'logout', host),
  };
}

async function oras(tool: Tool): Promise<AccessClient> {
  const commands = await withLayouts(tool, {
    push: async (layout, reference) =>
      await tool.run('cp', '--from-oci-layout', '--to-plain-http', `${layout}:${TAG}`, reference),
    pull: async (reference, folder) =>
      await tool.run('cp', '--from-plain-http', '--to-oci-layout', reference, `${folder}:${TAG}`),
  });
  const plain = '--plain-http';
  return {
    ...commands,
    showsRules: true,
    // It closes an upload with the token that opened it.
    expiry: { after: 'PUT' },
    login: async (host, user, password) => {
      await withPassword(tool, password, 'login', plain, host, '--username', user, '--password-stdin');
    },
    logout: async (host) => await tool.run('logout', host),
  };
}

async function regctl(tool: Tool): Promise<AccessClient> {
  const plain = (reference: string) => `--host=reg=${reference.replace(/\/.*/, '')},tls=disabled`;
  const commands = await withLayouts(tool, {
    push: async (layout, reference) =>
      await tool.run(plain(reference), 'image', 'copy', `ocidir://${layout}:${TAG}`, reference),
    pull: async (reference, folder) =>
      await tool.run(plain(reference), 'image', 'copy', reference, `ocidir://${folder}:${TAG}`),
  });
  return {
    ...commands,
    showsRules: true,
    expiry: { after: 'PUT', early: 5 },
    login: async (host, user, password) => {
      const options = ['--user', user, '--pass-stdin'];
      await withPassword(tool, password, plain(host), 'registry', 'login', host, ...options);
    },
    logout: async (host) => await tool.run('registry', 'logout', host),
  };
}

/** Its images are charts, and their tags are versions. A chart is told from others by its bytes. */
function helm(tool: Tool): AccessClient {
  const packaged = new Set<string>();
  const partsOf = (reference: string) => {
    const [, repository = '', chart = '', version = ''] = /^(.+)\/([^/]+):([^:]+)$/.exec(reference) ?? [];
    return { url: `oci://${repository}`, chart, version };
  };
  const digestOf = async (file: string) =>
    createHash('sha256')
      .update(await tool.read(file))
      .digest('hex');
  let pulls = 0;
  return {
    showsRules: true,
    expiry: { after: 'PUT' },
    login: async (host, user, password) => {
      const options = ['--plain-http', '--username', user, '--password-stdin'];
      await withPassword(tool, password, 'registry', 'login', host, ...options);
    },
    logout: async (host) => await tool.run('registry', 'logout', host),
    push: async (reference, image = 'first') => {
      const { url, chart, version } = partsOf(reference);
      const file = `${image}/${chart}-${version}.tgz`;
      if (!packaged.has(file)) {
        await tool.write(`${image}/${chart}/values.yaml`, `image: ${image}\n`);
        const head = `apiVersion: v2\nname: ${chart}\nversion: ${version}\n`;
        await tool.write(`${image}/${chart}/Chart.yaml`, head);
        await tool.runWith({ folder: image }, 'package', chart);
        packaged.add(file);
      }
      await tool.run('push', file, url, '--plain-http');
      return await digestOf(file);
    },
    pull: async (reference) => {
      const { url, chart, version } = partsOf(reference);
      const folder = `pulled-${++pulls}`;
      const options = ['--version', version, '--destination', await tool.newFolder(folder), '--plain-http'];
      await tool.run('pull', `${url}/${chart}`, ...options);
      return await digestOf(`${folder}/${chart}-${version}.tgz`);
    },
  };
}

/** It has no login, but reads what docker keeps. An image is told from others by its only file. */
async function buildkit(tool: Tool): Promise<AccessClient> {
  for (const image of images) await tool.write(`context/${image}`, 100_000);
  let builds = 0;
  const build = async (dockerfile: string, output: string) => {
    const folder = `build-${++builds}`;
    await tool.write(`${folder}/Dockerfile`, dockerfile);
    await onNewDaemon(
      tool,
      `${folder}-daemon`,
      ...['build', '--frontend', 'dockerfile.v0', '--local', `context=${tool.path('context')}`],
      // So that each build makes the same image.
      ...['--local', `dockerfile=${tool.path(folder)}`, '--opt', 'build-arg:SOURCE_DATE_EPOCH=0'],
      ...['--output', output],
    );
  };
  const login = async (auths: Readonly<Record<string, unknown>>) => {
    await tool.write('.docker/config.json', JSON.stringify({ auths }));
  };
  return {
    showsRules: true,
    expiry: { after: 'PUT' },
    login: async (host, user, password) => {
      await login({ [host]: { auth: Buffer.from(`${user}:${password}`).toString('base64') } });
    },
    logout: async () => {
      await login({});
    },
    push: async (reference, image = 'first') => {
      const dockerfile = `FROM scratch\nCOPY ${image} /file\n`;
      await build(dockerfile, `type=image,name=${reference},push=true,rewrite-timestamp=true`);
      return (await tool.read(`context/${image}`)).toString('base64');
    },
    pull: async (reference) => {
      const folder = `pulled-${builds + 1}`;
      await build(`FROM ${reference}\n`, `type=local,dest=${tool.path(folder)}`);
      return (await tool.read(`${folder}/file`)).toString('base64');
    },
  };
}
