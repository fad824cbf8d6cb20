import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { dockerd } from '../servers/dockerd.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { podman } from '../servers/podman.ts';
import { requires, type ServerName } from '../servers/requires.ts';
import { skopeo } from '../servers/skopeo.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { tar, TAG, writeImage } from './images.ts';

/** A client with an image of 100 kB. */
interface Pusher {
  push(reference: string): Promise<unknown>;
  stop(): unknown;
}

const layer = () => tar([{ name: 'file', content: randomBytes(100_000) }]);

async function skopeoPusher(): Promise<Pusher> {
  const client = await skopeo();
  const image = join(client.folder, 'image');
  await mkdir(image);
  await writeImage(image, [100_000]);
  return {
    push: async (reference) => await client.copy(`oci:${image}:${TAG}`, `docker://${reference}`),
    stop: () => {
      client.remove();
    },
  };
}

async function podmanPusher(): Promise<Pusher> {
  const client = await podman();
  const file = join(client.folder, 'image.tar');
  await writeFile(file, layer());
  await client.run('import', file, 'app');
  // It wants the file it is told of, with a login or without.
  await writeFile(client.authFile, '{}');
  return {
    push: async (reference) =>
      await client.run('push', '--tls-verify=false', 'localhost/app', `docker://${reference}`),
    stop: () => {
      client.remove();
    },
  };
}

async function dockerPusher(): Promise<Pusher> {
  const daemon = await dockerd();
  const { docker } = daemon;
  const folder = await temporaryFolder('quotas-docker');
  const file = join(folder.path, 'image.tar');
  await writeFile(file, layer());
  await docker('import', file, 'app');
  return {
    push: async (reference) => {
      await docker('tag', 'app', reference);
      await docker('push', reference);
    },
    stop: async () => {
      await daemon.stop();
      folder.remove();
    },
  };
}

const clients = [
  ['skopeo', 'skopeo', skopeoPusher],
  ['podman', 'podman', podmanPusher],
  ['docker', 'dockerd', dockerPusher],
] as const satisfies readonly (readonly [string, ServerName, () => Promise<Pusher>])[];

for (const [name, program, start] of clients)
  describe(`${name} and a quota`, requires(program), () => {
    let folder: Folder;
    let registry: Stowage;
    let client: Pusher;

    before(async () => {
      folder = await temporaryFolder('quotas');
      const rules = join(folder.path, 'rules.yaml');
      await writeFile(rules, 'quotas: [{ repositories: full/**, quota: 1 kB }]');
      registry = await serve(join(folder.path, 'registry'), { REGISTRY_RETENTION_PATH: rules });
      client = await start();
    });

    after(async () => {
      await client.stop();
      await registry.stop();
      folder.remove();
    });

    it('shows the numbers to whoever pushes beyond it, and pushes elsewhere', async () => {
      const push = async () => await client.push(`${registry.address}/full/app:1`);
      // What has begun finishes, so it may be the manifest that is refused; what is pushed again adds nothing else.
      for (let attempt = 0; attempt < 2; attempt++)
        await assert.rejects(
          push,
          /denied: the quota of full\/\*\* is 1\.0 kB, of which \d+\.\d kB are used; delete images/i,
        );
      await client.push(`${registry.address}/free/app:1`);
    });
  });
