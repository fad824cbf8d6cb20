/** What a rule with `pulledWithin` makes of the requests of clients. */
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseDigest } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { parseReference } from '../../lib/protocol/references.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { Plan } from '../../lib/retention/plan.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { dockerImageType } from '../functions/client.ts';
import { day, retentionRule } from '../retention/rules.ts';
import { containerd } from '../servers/containerd.ts';
import { dockerd } from '../servers/dockerd.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { podman } from '../servers/podman.ts';
import { requires, type ServerName } from '../servers/requires.ts';
import { skopeo } from '../servers/skopeo.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { IMAGE_TYPE, readBlobs, TAG, writeImage } from './images.ts';

const name = parseRepositoryName('app');
const rule = '{ repositories: app, keep: { pulledWithin: 10d }, otherwise: delete }';

interface Puller {
  pull(reference: string): Promise<unknown>;
  /** Only looks at an image, if it can. */
  inspect?(reference: string): Promise<unknown>;
  stop(): unknown;
}

async function skopeoPuller(): Promise<Puller> {
  const client = await skopeo();
  return {
    pull: async (reference) =>
      await client.copy(`docker://${reference}`, `oci:${join(client.folder, 'pulled')}:${TAG}`),
    inspect: async (reference) => await client.inspect(`docker://${reference}`, '--no-tags'),
    stop: () => {
      client.remove();
    },
  };
}

async function podmanPuller(): Promise<Puller> {
  const client = await podman();
  // It wants the file it is told of, with a login or without.
  await writeFile(client.authFile, '{}');
  return {
    pull: async (reference) => await client.run('pull', '--tls-verify=false', `docker://${reference}`),
    stop: () => {
      client.remove();
    },
  };
}

async function dockerPuller(): Promise<Puller> {
  const daemon = await dockerd();
  return {
    pull: async (reference) => await daemon.docker('pull', reference),
    inspect: async (reference) => await daemon.docker('manifest', 'inspect', '--insecure', reference),
    stop: async () => {
      await daemon.stop();
    },
  };
}

async function containerdPuller(): Promise<Puller> {
  const daemon = await containerd();
  return {
    pull: async (reference) =>
      await daemon.ctr('images', 'pull', '--plain-http', '--snapshotter', 'native', reference),
    stop: async () => {
      await daemon.stop();
    },
  };
}

/** An image as docker pushes it: older releases of `docker manifest inspect` read no others. */
function asDockers(manifest: Buffer): Buffer {
  return Buffer.from(
    manifest
      .toString()
      .replaceAll(IMAGE_TYPE, dockerImageType)
      .replaceAll('vnd.oci.image.config.v1+json', 'vnd.docker.container.image.v1+json')
      .replaceAll('vnd.oci.image.layer.v1.tar+gzip', 'vnd.docker.image.rootfs.diff.tar.gzip'),
  );
}

/** Pushes an image that no other is like. */
async function push(store: ObjectStore, folder: string, tag: string): Promise<void> {
  const path = join(folder, tag);
  await mkdir(path);
  const image = await writeImage(path, [1000]);
  const registry = createRegistry(store);
  const bytesOf = async (digest: string) => await readFile(join(path, 'blobs', digest.replace(':', '/')));
  for (const digest of await readBlobs(path)) {
    const bytes = await bytesOf(digest);
    const body = (async function* () {
      yield await Promise.resolve(bytes);
    })();
    if (digest !== image.digest)
      await registry.uploads.put(name, parseDigest(digest), { body, length: bytes.length });
  }
  const manifest = asDockers(await bytesOf(image.digest));
  await registry.manifests.put(name, parseReference(tag), manifest, dockerImageType);
}

const clients = [
  ['skopeo', 'skopeo', skopeoPuller],
  ['podman', 'podman', podmanPuller],
  ['docker', 'dockerd', dockerPuller],
  ['containerd', 'containerd', containerdPuller],
] as const satisfies readonly (readonly [string, ServerName, () => Promise<Puller>])[];

for (const [client, program, start] of clients)
  describe(`${client} and pulledWithin`, requires(program), () => {
    let folder: Folder;
    let storage: TestStorage;
    let store: ObjectStore;
    let registry: Stowage;
    let puller: Puller;

    before(async () => {
      folder = await temporaryFolder('pulls');
      storage = await folderStorage();
      store = await storage.open();
      const rules = join(folder.path, 'rules.yaml');
      await writeFile(rules, `retention:\n  - ${rule}\n`);
      for (const tag of ['pulled', 'inspected', 'unused']) await push(store, folder.path, tag);
      registry = await serve(storage.settings, { REGISTRY_RETENTION_PATH: rules });
      puller = await start();
    });

    after(async () => {
      await puller.stop();
      await registry.stop();
      storage.remove();
      folder.remove();
    });

    /** The tags that were pulled, as the plan of some days later says. */
    const pulledTags = async () => {
      const one = retentionRule(rule);
      const now = () => Date.now() + 10.5 * day;
      const options = { store, rules: [one], immutable: () => undefined, keeps: false, now };
      const planned = await (await Plan.open(options)).of(name, one);
      return planned.filter(({ reason }) => reason === 'pulled within 10d').map(({ tag }) => tag);
    };

    it('a pull keeps its tag, and so does a look at an image', async () => {
      await puller.pull(`${registry.address}/app:pulled`);
      await puller.inspect?.(`${registry.address}/app:inspected`);
      const expected = puller.inspect === undefined ? ['pulled'] : ['inspected', 'pulled'];
      // A server records a pull while it answers.
      let found = await pulledTags();
      for (let looks = 0; looks < 100 && found.length < expected.length; looks++) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        found = await pulledTags();
      }
      assert.deepEqual(found, expected);
    });
  });
