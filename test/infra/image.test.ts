import assert from 'node:assert/strict';
import { chmodSync, chownSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { memoryEnvironment, memoryFlags } from '../../lib/commands/low-memory.ts';
import { tar } from '../clients/images.ts';
import { idOf } from '../clients/docker-images.ts';
import { extractOriginal, fillWithOriginal, repositories } from '../fixtures/original.ts';
import { Client, digestOf } from '../functions/client.ts';
import { onScs, type Buckets } from '../servers/buckets.ts';
import { dockerd, type Dockerd } from '../servers/dockerd.ts';
import { memoryFolder, temporaryFolder, type Folder } from '../servers/folder.ts';
import { buildImage } from '../servers/image.ts';
import { freePort } from '../servers/ports.ts';
import { command } from '../servers/process.ts';
import { serves } from '../servers/registry.ts';
import { requires } from '../servers/requires.ts';

/** The user of the image. */
const user = 65532;

const isolated = ['--network=none'];

describe('the image', requires('dockerd', 'mmdebstrap'), () => {
  let folder: Folder;
  let daemon: Dockerd;
  let image: string;
  let scs: Buckets;
  const docker: Dockerd['docker'] = async (...args) => await daemon.docker(...args);
  const inspect = async (what: string, of: string) =>
    JSON.parse((await docker('inspect', '--format', `{{json ${what}}}`, of)).text) as unknown;

  before(async () => {
    [folder, daemon, scs] = await Promise.all([
      temporaryFolder('image'),
      dockerd(memoryFolder),
      onScs.start(),
    ]);
    image = await buildImage(docker, await newFolder('build'));
  });

  after(async () => {
    await daemon.stop();
    await scs.stop();
    folder.remove();
  });

  const newFolder = async (name: string) => {
    await mkdir(join(folder.path, name));
    chmodSync(folder.path, 0o755);
    return join(folder.path, name);
  };

  /** Starts a container in the background and returns its name. */
  const run = async (name: string, ...options: string[]) => {
    await docker('run', '--detach', '--name', name, ...options, image);
    return name;
  };

  /** Starts one at a port of this machine, and returns its address. */
  const serve = async (name: string, ...options: string[]) => {
    const address = `127.0.0.1:${await freePort()}`;
    const common = ['--network=host', '-e', `REGISTRY_HTTP_ADDR=${address}`, '-e', 'REGISTRY_AUTH=none'];
    await run(name, ...common, ...options);
    await until(name, async () => await serves(address).catch(() => false));
    return address;
  };

  const until = async (name: string, ready: () => Promise<boolean>) => {
    const deadline = Date.now() + 30_000;
    while (!(await ready())) {
      assert.ok(Date.now() < deadline, `not ready in 30 s:\n${await logsOf(name)}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };

  const logsOf = async (name: string) => {
    const { text, errors } = await docker('logs', name);
    return text + errors;
  };

  it('is smaller than 200 MB', async () => {
    assert.ok(((await inspect('.Size', image)) as number) < 200e6);
  });

  it('says what it is, of which release and revision', async () => {
    const labels = (await inspect('.Config.Labels', image)) as Record<string, string>;
    const prefix = 'org.opencontainers.image.';
    assert.equal(labels[`${prefix}title`], 'Stowage');
    assert.equal(labels[`${prefix}licenses`], 'Apache-2.0');
    assert.equal(labels[`${prefix}version`], '1.2.3');
    assert.equal(labels[`${prefix}revision`], '0123abc');
  });

  it('starts with the flags and variables that keep memory low', async () => {
    const { Entrypoint: entry, Env: env } = (await inspect('.Config', image)) as {
      Entrypoint: string[];
      Env: string[];
    };
    assert.deepEqual(entry.slice(1, -1), memoryFlags);
    for (const [name, value] of Object.entries(memoryEnvironment))
      assert.ok(env.includes(`${name}=${value}`));
  });

  it('has no npm, no shell and no sources, but the licences of all that is in it', async () => {
    await docker('create', '--name', 'content', image);
    const file = join(folder.path, 'content.tar');
    await docker('export', '--output', file, 'content');
    const names = (await command('tar', ['--list', '--file', file])).text.split('\n');
    const added = names.filter((name) => /^(usr\/local|opt|var\/lib\/registry)\//.test(name));
    assert.deepEqual(
      added.filter((name) => /^usr\/local\/bin\/./.test(name)),
      ['usr/local/bin/node', 'usr/local/bin/stowage'],
    );
    assert.deepEqual(
      added.filter((name) => /\.(ts|map|json)$|node_modules|npm/.test(name)),
      [],
    );
    assert.deepEqual(
      names.filter((name) => /^(usr\/)?bin\/(ba|da)?sh$/.test(name)),
      [],
    );
    const licence = async (name: string) => {
      const args = ['--extract', '--to-stdout', '--file', file, `usr/local/share/doc/${name}`];
      return (await command('tar', args)).text;
    };
    assert.match(await licence('node/LICENSE'), /Copyright Node\.js contributors/);
    assert.match(await licence('stowage/LICENSE'), /Apache License/);
    const packages = bundledPackages(join(folder.path, 'build/context/dist'));
    assert.ok(packages.size > 30, `${packages.size} packages`);
    const listed = new Set(
      [...(await licence('stowage/THIRD-PARTY-LICENSES.txt')).matchAll(/^(\S+) \d\S* \(/gm)].map(
        ([, name = '']) => name,
      ),
    );
    assert.deepEqual([...packages.difference(listed)], []);
  });

  it('does not start without REGISTRY_AUTH, and says how to set it', async () => {
    await assert.rejects(
      docker('run', '--rm', ...isolated, image),
      /REGISTRY_AUTH: missing.*docker run -e REGISTRY_AUTH=none/,
    );
  });

  it('listens at port 5000, keeps images in its volume, and becomes healthy, without more settings', async () => {
    const interval = ['--health-interval=1s', '--health-start-period=0s'];
    const name = await run(
      'plain',
      ...isolated,
      ...interval,
      '-e',
      'REGISTRY_AUTH=none',
      '-v',
      'v:/var/lib/registry',
    );
    await until(name, async () => (await inspect('.State.Health.Status', name)) === 'healthy');
    // The line follows the first answers.
    await until(name, async () =>
      (await logsOf(name)).includes('listens at http://[::]:5000 and keeps its images in /var/lib/registry.'),
    );
    await docker('rm', '--force', name);
  });

  it('serves a folder of the original, takes a push and gives it back, and ends with 0', async () => {
    const images = await newFolder('original');
    extractOriginal(images);
    giveAway(images);
    const address = await serve('folder', '-v', `${images}:/var/lib/registry`, '-e', 'SEARCH_BACKEND=LOCAL');
    await servesOriginal(address);
    // The file is made from the folder after the start.
    await until('folder', async () => {
      const { status, body } = await new Client(`http://${address}`).send({
        method: 'GET',
        path: '/v2/_catalog',
      });
      if (status !== 200) return false;
      assert.deepEqual(JSON.parse(body.toString()), { repositories: Object.keys(repositories).sort() });
      return true;
    });
    await docker('pull', `${address}/team/app:v1`);

    await buildSmall(docker, await newFolder('small'));
    await docker('tag', 'small', `${address}/new/app:1`);
    await docker('push', `${address}/new/app:1`);
    const id = await idOf(docker, 'small');
    await docker('rmi', 'small', `${address}/new/app:1`);
    await docker('pull', `${address}/new/app:1`);
    assert.equal(await idOf(docker, `${address}/new/app:1`), id);

    const pid = String(await inspect('.State.Pid', 'folder'));
    assert.match(await readFile(`/proc/${pid}/status`, 'utf8'), new RegExp(`^Uid:\t${user}\t${user}\t`, 'm'));
    const purged = await docker('exec', 'folder', 'stowage', 'purge-uploads', '--dry-run');
    assert.match(purged.text, /in \/var\/lib\/registry$/m);

    await docker('stop', '--time', '30', 'folder');
    assert.equal(await inspect('.State.ExitCode', 'folder'), 0);
  });

  it('reads the configuration file that is mounted where the original has it, or that is named', async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const file = join(folder.path, 'config.yml');
    await writeFile(file, `version: 0.1\nhttp:\n  addr: ${address}\nstorage:\n  filesystem:\nauth: none\n`);
    for (const [name, path, ...args] of [
      ['mounted', '/etc/docker/registry/config.yml'],
      ['named', '/config.yml', '/config.yml'],
    ] as const) {
      await docker(
        'run',
        '--detach',
        '--name',
        name,
        '--network=host',
        '-v',
        `${file}:${path}:ro`,
        image,
        ...args,
      );
      // A worker may answer before the line is there.
      await until(name, async () => (await logsOf(name)).includes(`listens at http://${address} `));
      assert.ok(await serves(address));
      await docker('rm', '--force', name);
    }
  });

  it('serves a bucket of the original with its variables, on a read-only root and without capabilities', async () => {
    const storage = await scs.newBucket({ REGISTRY_STORAGE_SCS_REGION: 'bjctc' });
    await fillWithOriginal(await storage.open());
    const variables = Object.entries({ ...storage.settings, REGISTRY_HTTP_SECRET: 'x'.repeat(32) });
    const hardened = ['--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges'];
    const options = variables.flatMap(([name, value]) => ['-e', `${name}=${value}`]);
    await servesOriginal(await serve('bucket', ...hardened, ...options));
  });

  it('serves a volume that root wrote, and says how to make it writable', async () => {
    const images = await newFolder('of-root');
    extractOriginal(images);
    const volume = ['-v', `${images}:/var/lib/registry`];
    const address = await serve('foreign', ...volume);
    await servesOriginal(address);
    assert.match(
      await logsOf('foreign'),
      /belongs to user 0 and the registry runs as user 65532, so run chown -R 65532:65532 on the folder or volume that is \/var\/lib\/registry here, or .*docker run --user 0:0/,
    );
    const path = '/v2/team/app/blobs/uploads/';
    assert.equal((await new Client(`http://${address}`).send({ method: 'POST', path })).status, 503);

    const asRoot = await serve('root', '--user=0:0', ...volume);
    assert.equal((await new Client(`http://${asRoot}`).send({ method: 'POST', path })).status, 202);
  });

  it('does not start on an empty volume of root, and says how to make it writable', async () => {
    const volume = ['-v', `${await newFolder('empty')}:/var/lib/registry`];
    await assert.rejects(
      docker('run', '--rm', ...isolated, '-e', 'REGISTRY_AUTH=none', ...volume, image),
      /cannot start: .*chown -R 65532:65532/,
    );
  });
});

/** The packages whose code is in the command, by its source maps. */
function bundledPackages(dist: string): Set<string> {
  const maps = globSync('{stowage,stowage/*}.mjs.map', { cwd: dist });
  const sources = maps.flatMap(
    (name) => (JSON.parse(readFileSync(join(dist, name), 'utf8')) as { sources: readonly string[] }).sources,
  );
  const names = sources.map((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
  return new Set(names.filter((name) => name !== undefined));
}

/** Makes all in a folder the image's user's. */
function giveAway(folder: string): void {
  chownSync(folder, user, user);
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    chownSync(join(entry.parentPath, entry.name), user, user);
}

/** An image of one small layer, called "small". */
async function buildSmall(docker: Dockerd['docker'], folder: string): Promise<void> {
  const file = join(folder, 'layer.tar');
  await writeFile(file, tar([{ name: 'file', content: Buffer.from('content') }]));
  await docker('import', file, 'small');
}

/** Whether a registry serves every tag of the original with the same bytes. */
async function servesOriginal(address: string): Promise<void> {
  const client = new Client(`http://${address}`);
  for (const [name, tags] of Object.entries(repositories))
    for (const [tag, { mediaType, sha256 }] of Object.entries(tags)) {
      const { headers, body } = await client.must(200, {
        method: 'GET',
        path: `/v2/${name}/manifests/${tag}`,
      });
      assert.equal(headers['content-type'], mediaType);
      assert.equal(digestOf(body), `sha256:${sha256}`);
    }
}
