import assert from 'node:assert/strict';
import { chown, mkdir, writeFile } from 'node:fs/promises';
import { statSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { containerd, type Containerd } from '../servers/containerd.ts';
import { dockerd, type Dockerd } from '../servers/dockerd.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { podman, type Podman } from '../servers/podman.ts';
import { requires } from '../servers/requires.ts';
import { skopeo, type Skopeo } from '../servers/skopeo.ts';
import { ciFlows, type CiClient } from './ci-jobs.ts';
import { TAG, archive, tar, writeImage } from './images.ts';

/** Of a client that is started before the tests, and known before. */
type Client = Pick<CiClient, 'keeps' | 'asks'>;

/** A build of 90 minutes, by the clock of the registry. */
function testFlows(client: Client, started: () => Omit<CiClient, keyof Client>): void {
  for (const title of Object.keys(ciFlows({ ...client, ...unknown })))
    it(title, async () => {
      const flow = ciFlows({ ...client, ...started() })[title];
      assert.ok(flow);
      await flow();
    });
}

const unknown = {
  file: undefined,
  login: async () => await Promise.reject(new Error('not started')),
  push: async () => await Promise.reject(new Error('not started')),
};

describe('docker in a CI job', requires('dockerd'), () => {
  let daemon: Dockerd;
  let folder: Folder;

  before(async () => {
    [daemon, folder] = await Promise.all([dockerd(), temporaryFolder('ci-docker')]);
    await writeFile(join(folder.path, 'app.tar'), tar([{ name: 'file', content: randomBytes(1000) }]));
    await daemon.docker('import', join(folder.path, 'app.tar'), 'app');
  });

  after(async () => {
    await daemon.stop();
    folder.remove();
  });

  testFlows(
    {
      keeps: 'a refresh token',
      asks: { login: ['our token as refresh token, by POST'], stored: ['our token as password, by GET'] },
    },
    () => ({
      file: daemon.configFile,
      login: async (address, password) => await daemon.login(address, 'oidc', password),
      push: async (reference) => {
        await daemon.docker('tag', 'app', reference);
        await daemon.docker('push', reference);
      },
    }),
  );
});

describe('skopeo in a CI job', requires('skopeo'), () => {
  let client: Skopeo;
  let image: string;

  before(async () => {
    client = await skopeo();
    image = join(client.folder, 'image');
    await mkdir(image);
    await writeImage(image, [1000]);
    const { uid, gid } = statSync(client.folder);
    await chown(image, uid, gid);
  });

  after(() => {
    client.remove();
  });

  testFlows(
    {
      keeps: 'the job token',
      asks: { login: ['the job token, by GET'], stored: ['our token as password, by GET'] },
    },
    () => ({
      file: client.authFile,
      login: async (address, password) => await client.login(address, 'oidc', password),
      push: async (reference) => await client.copy(`oci:${image}:${TAG}`, `docker://${reference}`),
    }),
  );
});

describe('podman in a CI job', requires('podman'), () => {
  let client: Podman;

  before(async () => {
    client = await podman();
    const file = join(client.folder, 'app.tar');
    await writeFile(file, tar([{ name: 'file', content: randomBytes(1000) }]));
    await client.run('import', file, 'app');
  });

  after(() => {
    client.remove();
  });

  testFlows(
    {
      keeps: 'the job token',
      asks: { login: ['the job token, by GET'], stored: ['our token as password, by GET'] },
    },
    () => ({
      file: client.authFile,
      login: async (address, password) =>
        await client.run(
          ...['login', '--tls-verify=false', '--username', 'oidc', '--password', password],
          address,
        ),
      push: async (reference) =>
        await client.run('push', '--tls-verify=false', 'localhost/app', `docker://${reference}`),
    }),
  );
});

describe('containerd in a CI job', requires('containerd'), () => {
  let daemon: Containerd;
  let folder: Folder;

  before(async () => {
    [daemon, folder] = await Promise.all([containerd(), temporaryFolder('ci-ctr')]);
    const layout = join(folder.path, 'image');
    await mkdir(layout);
    await writeImage(layout, [1000]);
    await writeFile(join(folder.path, 'image.tar'), await archive(layout));
    await daemon.ctr(
      ...['images', 'import', '--no-unpack', '--all-platforms', '--base-name', 'app'],
      join(folder.path, 'image.tar'),
    );
  });

  after(async () => {
    await daemon.stop();
    folder.remove();
  });

  testFlows(
    {
      keeps: 'nothing',
      asks: { login: ['the job token, by POST'], stored: ['our token as password, by POST'] },
    },
    () => ({
      file: undefined,
      login: async () => {
        await Promise.resolve();
      },
      push: async (reference, password) =>
        await daemon.ctr(
          ...['images', 'push', '--plain-http', '--user', `oidc:${password}`, reference, `app:${TAG}`],
        ),
    }),
  );
});
