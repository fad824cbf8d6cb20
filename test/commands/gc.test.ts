import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runStowage } from '../infra/run-node.ts';
import { fill, type Filled } from '../maintenance/collection/filled-bucket.ts';
import { onScs, onVersitygw, type Buckets } from '../servers/buckets.ts';
import { requires } from '../servers/requires.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';

interface Kind {
  readonly name: string;
  readonly needs: Parameters<typeof requires>;
  readonly start: () => Promise<{ newBucket(): Promise<TestStorage>; stop(): unknown }>;
}

const onFolder: Kind = {
  name: 'a folder',
  needs: [],
  start: () => Promise.resolve({ newBucket: folderStorage, stop: () => undefined }),
};

const bytesOf = ({ bucket }: Filled, names: readonly string[]) => bucket.sizeOf(...names);

for (const kind of [onFolder, onVersitygw, onScs] as const)
  describe(`stowage gc and usage on ${kind.name}`, requires(...kind.needs), () => {
    let buckets: Pick<Buckets, 'newBucket' | 'stop'> | Awaited<ReturnType<Kind['start']>>;
    let storage: TestStorage;
    let filled: Filled;

    before(async () => {
      buckets = await kind.start();
      storage = await buckets.newBucket();
      filled = await fill(await storage.open());
    });

    after(async () => {
      storage.remove();
      await buckets.stop();
    });

    const run = async (...args: string[]) => await runStowage(args, storage.settings);

    it('gc --dry-run prints what could be freed as JSON, and exits with 1 for a damaged repository', async () => {
      for (const [options, expected] of [
        [[], filled.kept],
        [['--delete-untagged'], filled.untagged],
      ] as const) {
        const { code, output, errors } = await run(
          'gc',
          '--dry-run',
          '--older-than=0h',
          '--json',
          ...options,
        );
        const { freed, repositories, damaged, unlinked } = JSON.parse(output) as Record<string, unknown>;
        const rows = Object.entries(expected.repositories);
        assert.deepEqual(freed, {
          repositories: rows.length,
          emptied: rows.filter(([, [, , , isEmptied]]) => isEmptied).length,
          manifests: rows.reduce((sum, [, [manifests]]) => sum + manifests, 0),
          links: rows.reduce((sum, [, [, links]]) => sum + links, 0),
          blobs: expected.freed.length,
          bytes: bytesOf(filled, expected.freed),
        });
        assert.deepEqual(
          repositories,
          rows.map(([name, [manifests, links, names, isEmptied = false]]) => {
            return { name, manifests, links, bytes: bytesOf(filled, names), isEmptied };
          }),
        );
        assert.deepEqual(unlinked, { blobs: 1, bytes: bytesOf(filled, filled.unlinked) });
        assert.deepEqual(
          (damaged as { name: string }[]).map(({ name }) => name),
          filled.damaged,
        );
        assert.match(
          errors,
          /^broken is damaged, so nothing of it may be deleted:\n {2}the manifest sha256:/m,
        );
        assert.equal(code, 1, errors);
      }
    });

    it('usage prints JSON', async () => {
      const { output } = await run('usage', '--json', '--by=tag');
      const { rows, unlinked } = JSON.parse(output) as { rows: unknown[]; unlinked: object };
      assert.deepEqual(
        rows.find((one) => (one as { name: string }).name === 'shared/b'),
        {
          name: 'shared/b',
          tag: 'v1',
          own: bytesOf(filled, ['not-sharing', 'not-sharing-config']),
          shared: 0,
        },
      );
      // A tag points at one of them, which has no link.
      assert.deepEqual(unlinked, { blobs: 2, bytes: bytesOf(filled, ['lost', 'racing']) });
    });
  });

describe('stowage gc and usage in words', () => {
  let storage: TestStorage;
  let filled: Filled;

  before(async () => {
    storage = await folderStorage();
    filled = await fill(await storage.open());
  });

  after(() => {
    storage.remove();
  });

  const run = async (...args: string[]) => await runStowage(args, storage.settings);

  it('gc --dry-run says it in words, and that nothing was deleted', async () => {
    const { output } = await run('gc', '--dry-run', '--older-than', '0h');
    const size = bytesOf(filled, filled.kept.freed);
    assert.match(output, /^late: 0 manifests, 1 link, 20 bytes, and nothing would be left$/m);
    assert.match(output, /^in no repository: 1 blob, 20 bytes$/m);
    assert.match(
      output,
      new RegExp(`^could be freed: ${size} bytes of .* kB, in 4 of \\d+ blobs, with 0 manifests`, 'm'),
    );
    assert.match(output, /^Nothing was deleted\.$/m);
  });

  it('gc --dry-run counts nothing that is younger than a day', async () => {
    const { output } = await run('gc', '--dry-run', '--delete-untagged');
    assert.match(output, /^could be freed: 0 bytes of /);
    const young = `${bytesOf(filled, filled.kept.freed)} bytes in 4 blobs, 3 manifests, 6 links`;
    assert.match(output, new RegExp(`^not counted, since it is younger than 1d: ${young}$`, 'm'));
  });

  it('gc --dry-run says what would go without --exclusive, which frees no space', async () => {
    const { output } = await run('gc', '--dry-run', '--older-than=0h');
    assert.match(
      output,
      /^Without --exclusive only 0 manifests and \d+ links of \d+ of \d+ repositories would go, and no space would be freed\.$/m,
    );
    assert.doesNotMatch((await run('gc', '--dry-run', '--exclusive')).output, /Without --exclusive/);
  });

  it('usage prints tables by namespace, repository and tag', async () => {
    const row = async (by: string, name: string) => {
      const { output } = await run('usage', '--by', by);
      const line = output.split('\n').find((one) => one.startsWith(`${name} `));
      return line?.replaceAll(/ {2,}/g, ', ');
    };
    const shared = bytesOf(filled, ['shared']);
    const own = bytesOf(filled, ['sharing', 'sharing-config']);
    const columns = `${own} bytes, ${shared} bytes, ${own + shared} bytes`;
    assert.equal(await row('repository', 'shared/a'), `shared/a, ${columns}`);
    assert.equal(await row('tag', 'shared/a:v1'), `shared/a:v1, ${columns}`);
    assert.equal(await row('namespace', 'windows'), await row('repository', 'windows'));
  });
});

describe('what stowage gc keeps', () => {
  it('is nothing in a read-only registry, and below gc/references/ in others', async () => {
    const storage = await folderStorage();
    await fill(await storage.open());
    const folder = storage.settings['REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY'] ?? '';
    const packs = async () => {
      const keys = await readdir(join(folder, 'docker/registry/v2'), { recursive: true });
      return keys.filter((key) => key.startsWith('gc/') && /\/_\d{6}$/.test(key));
    };
    const args = ['gc', '--dry-run'];
    const readOnly = { REGISTRY_STORAGE_MAINTENANCE_READONLY: '{enabled: true}' };
    assert.match((await runStowage(args, { ...storage.settings, ...readOnly })).output, /^could be freed/);
    assert.deepEqual(await packs(), []);
    assert.match((await runStowage(args, storage.settings)).output, /^could be freed/);
    assert.deepEqual(await packs(), ['gc/references/app/multi/_000000']);
    storage.remove();
  });
});
