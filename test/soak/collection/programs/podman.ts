import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as servers from '../../../servers/podman.ts';
import { dockerArchive, makeImages } from './made.ts';
import type { Program } from './program.ts';

/** podman: one that pushes, and one that has nothing and pulls. */
export async function podman(): Promise<Program> {
  const [pusher, puller] = [await servers.podman(), await servers.podman()];
  for (const { authFile } of [pusher, puller]) writeFileSync(authFile, '{}');
  const file = join(pusher.folder, 'images.tar');
  writeFileSync(file, dockerArchive(makeImages()));
  await pusher.run('load', '--quiet', '--input', file);
  return {
    name: 'podman',
    push: async (image, to) => {
      await pusher.run('push', '--quiet', '--tls-verify=false', `made:${image}`, to);
    },
    pull: async (from) => {
      await puller.run('pull', '--quiet', '--tls-verify=false', from);
      await puller.run('rmi', '--all', '--force');
    },
    stop: async () => {
      pusher.remove();
      puller.remove();
      await Promise.resolve();
    },
  };
}
