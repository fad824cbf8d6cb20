import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Skopeo } from '../servers/skopeo.ts';
import type { AccessClient } from './access.ts';
import { TAG, readBlobs, writeImage } from './images.ts';

/** skopeo with two images. An image is told from others by its blobs. */
export async function skopeoClient(client: Skopeo): Promise<AccessClient> {
  const folderOf = (image: string) => join(client.folder, image);
  for (const image of ['first', 'second']) {
    await mkdir(folderOf(image));
    await writeImage(folderOf(image), [100_000]);
  }
  const blobsOf = async (folder: string) => (await readBlobs(folder)).join();
  let pulls = 0;
  return {
    showsRules: true,
    expiry: { after: 'PATCH' },
    login: async (host, user, password) => await client.login(host, user, password),
    logout: async (host) => await client.logout(host),
    push: async (reference, image = 'first') => {
      await client.copy(`oci:${folderOf(image)}:${TAG}`, `docker://${reference}`);
      return await blobsOf(folderOf(image));
    },
    pull: async (reference) => {
      const pulled = folderOf(`pulled-${++pulls}`);
      await client.copy(`docker://${reference}`, `oci:${pulled}:${TAG}`);
      return await blobsOf(pulled);
    },
  };
}
