/** Collections of links alone, while distribution writes to the same place. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { blobData } from '../../lib/registry/layout.ts';
import { exists } from '../../lib/registry/links.ts';
import type { Digest } from '../../lib/protocol/digests.ts';
import type { ObjectStore } from '../../lib/storage/store.ts';
import { runStowage } from '../infra/run-node.ts';
import { collectedKinds, pause, shortFence, unitMs } from '../maintenance/collection/collecting.ts';
import { distribution2, distribution3, type Distribution } from '../servers/distribution.ts';
import type { Registry } from '../servers/registry.ts';
import { requires } from '../servers/requires.ts';
import { serve } from '../servers/stowage.ts';
import type { TestStorage } from '../servers/storage.ts';
import { indexOf, newImage, pull, push, put, request, type Image } from './shared-place.ts';

const settings = { ...shortFence, REGISTRY_GC_DELAY: '0s' };

interface Report {
  readonly onlyLinks: boolean;
  readonly linksWrittenAgain: number;
  readonly deleted: { readonly blobs: number; readonly links: number };
  readonly waiting: readonly { readonly from: string }[];
  readonly found: { readonly freed: { readonly links: number } } | null;
}

for (const kind of collectedKinds.filter(({ name }) => name !== 'MinIO'))
  describe(
    `stowage gc beside distribution on ${kind.name}`,
    requires(...kind.needs, distribution2.needs, distribution3.needs),
    () => {
      let storage: TestStorage;
      let store: ObjectStore;
      let stop: () => unknown;
      let ours: Registry;
      const theirs: Registry[] = [];

      before(async () => {
        const buckets = await kind.start();
        // distribution 3 looks for another host otherwise.
        storage = await buckets.newBucket({ REGISTRY_STORAGE_S3_FORCEPATHSTYLE: 'true' });
        stop = async () => {
          storage.remove();
          await buckets.stop();
        };
        store = await storage.open();
        ours = await serve(storage.settings, settings);
        await startTheirs();
      });

      after(async () => {
        await ours.stop();
        for (const one of theirs) await one.stop();
        await stop();
      });

      const startTheirs = async () => {
        for (const one of [distribution2, distribution3]) theirs.push(await one.start(storage.settings));
      };

      const gc = async (...args: string[]) =>
        await runStowage(['gc', '--delete-untagged', '--older-than=0h', ...args], {
          ...storage.settings,
          ...settings,
        });

      /** Runs until nothing is left to do. */
      const collect = async (...args: string[]): Promise<Report[]> => {
        await pause(unitMs);
        const reports: Report[] = [];
        for (;;) {
          const { code, output, errors } = await gc('--json', ...args);
          assert.equal(code, 0, errors);
          const report = JSON.parse(output) as Report;
          reports.push(report);
          const [waiting] = report.waiting;
          if (waiting === undefined) return reports;
          await pause(Math.max(0, Date.parse(waiting.from) - Date.now()) + 1000);
        }
      };

      const listed = async (registry: Registry, path: string, field: string) =>
        ((await (await request(registry, 'GET', path)).json()) as Record<string, string[] | null>)[field] ??
        [];

      it('takes the links that a dry run shows, by turns with all registries, and --exclusive frees the bytes', async () => {
        const registries = [ours, ...theirs];
        const tags = new Map<string, Image>();
        const gone: Image[] = [];
        const [base] = newImage().layers;
        const pullAll = async (all: readonly Registry[]) => {
          for (const registry of all) {
            for (const [tag, image] of tags) await pull(registry, 'app', tag, image);
            for (const { digest } of gone)
              assert.equal((await request(registry, 'GET', `app/manifests/${digest}`)).status, 404);
          }
        };
        for (const [turn, pusher] of registries.entries()) {
          const next = registries[(turn + 1) % registries.length] ?? ours;
          const [kept, deleted, moved] = [newImage(base), newImage(base), newImage(base)];
          await push(pusher, 'app', `kept-${turn}`, kept);
          await push(pusher, 'app', 'deleted', deleted);
          await push(next, 'app', 'moved', moved);
          await push(pusher, `old/${turn}`, 'only', deleted);
          const before = tags.get('moved');
          if (before !== undefined) gone.push(before);
          gone.push(deleted);
          tags.set(`kept-${turn}`, kept).set('moved', moved);
          for (const name of ['app', `old/${turn}`])
            assert.equal((await request(next, 'DELETE', `${name}/manifests/${deleted.digest}`)).status, 202);

          await pause(unitMs);
          const shown = JSON.parse((await gc('--dry-run', '--json')).output) as { freed: { links: number } };
          const reports = await collect();
          assert.ok(reports.every((report) => report.onlyLinks && report.deleted.blobs === 0));
          assert.equal(reports[0]?.found?.freed.links, shown.freed.links);
          assert.equal(
            reports.reduce((sum, { deleted: { links } }) => sum + links, 0),
            shown.freed.links,
          );
          await pullAll(registries);
          // Nothing that was deleted comes back, and its layer is uploaded once more.
          const again = newImage(base, deleted.layers[1]);
          await push(next, 'app', `again-${turn}`, again);
          tags.set(`again-${turn}`, again);
        }
        await pullAll(registries);

        for (const one of theirs.splice(0)) await one.stop();
        const bytes = async (images: readonly Image[]) => {
          const digests = images.flatMap(({ digest, config }) => [digest, config]);
          return await Promise.all(digests.map(async (one) => await exists(store, blobData(one as Digest))));
        };
        assert.ok((await bytes(gone)).every((isThere) => isThere));
        await collect('--exclusive');
        assert.ok(!(await bytes(gone)).includes(true));
        assert.ok(!(await bytes([...tags.values()])).includes(false));
        await startTheirs();
        for (const registry of [ours, ...theirs]) {
          assert.deepEqual((await listed(registry, 'app/tags/list', 'tags')).sort(), [...tags.keys()].sort());
          assert.deepEqual(await listed(registry, '_catalog', 'repositories'), ['app']);
        }
        await pullAll([ours, ...theirs]);
      });

      /** An image whose manifest is committed once its links are gone, by a registry that has looked before. */
      const race = async (
        original: Distribution,
        name: string,
        commit: (registry: Registry, image: Image) => Promise<Response>,
      ): Promise<Image> => {
        const image = newImage();
        const racing = await original.start(storage.settings, { remembers: true, validates: false });
        try {
          await push(ours, name, 'v1', image);
          for (const digest of image.blobs.keys())
            assert.equal((await request(racing, 'HEAD', `${name}/blobs/${digest}`)).status, 200);
          await request(ours, 'DELETE', `${name}/manifests/v1`);
          await collect();
          assert.equal((await commit(racing, image)).status, 201);
          for (const digest of image.blobs.keys())
            assert.equal((await request(ours, 'GET', `${name}/blobs/${digest}`)).status, 404);
        } finally {
          await racing.stop();
        }
        return image;
      };

      const original = kind.name === 'a folder' ? distribution2 : distribution3;
      it(`writes links again that ${original.name} had seen just before they went`, async () => {
        const name = `race/${original.name.replace(' ', '')}`;
        const image = await race(
          original,
          name,
          async (registry, { manifest }) => await put(registry, name, 'v2', manifest),
        );
        const { output, errors } = await gc();
        const written = /^(\d+) links written again, which a push through another registry needs$/m.exec(
          output,
        );
        assert.equal(written?.[1], String(image.blobs.size), output + errors);
        assert.match(output, /^No space is freed without --exclusive, since other registries may write/m);
        for (const registry of [ours, ...theirs]) await pull(registry, name, 'v2', image);
        assert.equal((await collect())[0]?.linksWrittenAgain, 0);
      });

      it('writes the link of a child again, with what it needs, before --exclusive takes any bytes', async () => {
        const name = 'race/index';
        const image = await race(
          distribution3,
          name,
          async (registry, child) => await put(registry, name, 'all', indexOf(child)),
        );
        for (const one of theirs.splice(0)) await one.stop();
        const [first] = await collect('--exclusive');
        assert.equal(first?.linksWrittenAgain, 1 + image.blobs.size);
        await startTheirs();
        for (const registry of [ours, ...theirs]) await pull(registry, name, image.digest, image);
      });
    },
  );
