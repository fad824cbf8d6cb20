import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Client } from '../functions/client.ts';
import { distribution2, distribution3 } from '../servers/distribution.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { mountMemory, requiresMounts } from '../servers/mounts.ts';
import type { Registry } from '../servers/registry.ts';
import { requires } from '../servers/requires.ts';
import { serve } from '../servers/stowage.ts';

const id = '00000000-0000-4000-8000-000000000000';
const repositories = 'docker/registry/v2/repositories';

for (const { name, needs, start, collectGarbage } of [distribution2, distribution3])
  describe(
    `a folder with mounts and links, used by this registry and ${name} in turn`,
    requires(needs),
    () => {
      it(
        `a folder with mounts and links keeps its repositories and tags when ${name} uses and garbage-collects it`,
        requiresMounts(),
        async (context) => {
          const root = await temporaryFolder('layout');
          const disk = await temporaryFolder('layout-disk');
          const at = (...names: string[]): string => join(root.path, ...names);
          // Both the images, and some of them in turn, on other disks.
          mountMemory(at('docker'));
          mountMemory(at('docker/registry/v2/blobs'));
          await fs.mkdir(at(repositories), { recursive: true });
          await fs.mkdir(join(disk.path, 'team'));
          await fs.symlink(join(disk.path, 'team'), at(repositories, 'team'));
          const ours = await serve(root.path);
          context.after(async () => {
            await ours.stop();
            root.remove();
            disk.remove();
          });
          const client = new Client(`http://${ours.address}`);
          const image = await client.pushImage('team/app', '1');
          await client.pushImage('app', '1');
          await fs.symlink('app', at(repositories, 'alias'));
          await fs.symlink('1', at(repositories, 'app/_manifests/tags/linked'));
          // As of writes that were killed.
          for (const mount of ['docker', 'docker/registry/v2/blobs']) {
            const temporary = at(mount, '_stowage~tmp');
            await fs.mkdir(join(temporary, 'multipart', id), { recursive: true });
            for (const name of [id, `multipart/${id}/upload`, `multipart/${id}/${id}.sealed`])
              await fs.writeFile(join(temporary, name), 'x');
          }
          const theirs = await start(root.path);
          context.after(async () => {
            await theirs.stop();
          });
          for (const path of [
            '/v2/_catalog',
            ...['team/app', 'app', 'alias'].map((one) => `/v2/${one}/tags/list`),
          ]) {
            const lists = await Promise.all(
              [ours, theirs].map(async (registry) => await listed(registry, path)),
            );
            assert.deepEqual(lists[0], lists[1], path);
            assert.ok((lists[0] ?? []).length > 0, path);
          }
          assert.doesNotMatch(await collectGarbage(root.path), /failed|stowage/i);
          const pulled = await client.must(200, { method: 'GET', path: '/v2/team/app/manifests/1' });
          assert.deepEqual(pulled.body, image.bytes);
          await client.must(200, { method: 'GET', path: `/v2/team/app/blobs/${image.layer}` });
        },
      );
    },
  );

/** Names of repositories or tags. */
async function listed({ address }: Registry, path: string): Promise<string[]> {
  const { body } = await new Client(`http://${address}`).must(200, { method: 'GET', path });
  const lists = JSON.parse(body.toString()) as Record<string, string[] | undefined>;
  return (lists['repositories'] ?? lists['tags'] ?? []).toSorted();
}
