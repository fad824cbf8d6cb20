import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { UsageError } from '../../lib/commands/command.ts';
import { command } from '../../lib/commands/verify.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { extractOriginal } from '../fixtures/original.ts';
import { Client, descriptor, digestOf, manifest, withDigest } from '../functions/client.ts';
import { runStowage, type Ended } from '../infra/run-node.ts';
import { damages } from '../maintenance/damage.ts';
import { fillRepository } from '../maintenance/sample-repository.ts';
import { onScs, onVersitygw, type Buckets } from '../servers/buckets.ts';
import { distribution2 } from '../servers/distribution.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { requires } from '../servers/requires.ts';
import { folderStorage, type TestStorage } from '../servers/storage.ts';

/** What was pushed a moment ago counts as settled. */
const settled = ['--settle', '0'];

interface Line {
  readonly type: 'finding' | 'summary';
  readonly kind: string;
  readonly key: string;
  readonly severity: string;
  readonly outcome: string;
}

async function run({ settings }: TestStorage, ...args: string[]): Promise<Ended> {
  return await runStowage(['verify', ...settled, ...args], settings);
}

/** The findings of `--json`. */
function findingsOf({ output }: Ended): readonly Line[] {
  const lines = output.trimEnd().split('\n');
  const all = lines.map((line) => JSON.parse(line) as Line);
  assert.equal(all.at(-1)?.type, 'summary');
  return all.slice(0, -1);
}

const brief = (lines: readonly Line[]) =>
  lines.map(({ severity, kind, key }) => `${severity} ${kind} ${key}`).sort();

/** Damage of each kind in one bucket, each in its own repository, is found, and what can be mended is. */
function flow(title: string, storage: () => TestStorage): void {
  it(`finds damage of each kind on ${title}, and mends what it says`, async () => {
    const store = await storage().open();
    await fillRepository(store, 'whole');
    const expected: string[] = [];
    const lasting: string[] = [];
    for (const [at, { kind, severity, make, mended }] of damages.entries()) {
      const key = await make(store, await fillRepository(store, `damaged/number${at}`));
      const line = `${severity} ${kind} ${key}`;
      expected.push(line);
      if (!mended) lasting.push(line);
    }
    const text = await run(storage());
    assert.equal(text.code, 1, text.errors);
    const words = (line: string) => line.split(': ', 1)[0] ?? '';
    assert.deepEqual(text.output.trimEnd().split('\n').map(words).sort(), expected.sort());

    const planned = await run(storage(), '--repair', '--dry-run', '--json');
    assert.equal(planned.code, 1);
    const mended = await run(storage(), '--repair', '--json');
    assert.equal(mended.code, 1);
    const outcome = (which: string) => (line: Line) => line.outcome === which;
    assert.deepEqual(
      brief(findingsOf(planned).filter(outcome('would repair'))),
      brief(findingsOf(mended).filter(outcome('repaired'))),
    );
    assert.deepEqual(brief(findingsOf(mended).filter(outcome('found'))), lasting.sort());
    assert.deepEqual(brief(findingsOf(await run(storage(), '--json'))), lasting.sort());
  });
}

describe('stowage verify on a folder', () => {
  let storage: TestStorage;

  before(async () => {
    storage = await folderStorage();
  });

  after(() => {
    storage.remove();
  });

  flow('a folder', () => storage);
});

for (const kind of [onVersitygw, onScs])
  describe(`stowage verify on ${kind.name}`, requires(...kind.needs), () => {
    let buckets: Buckets;
    let storage: TestStorage;

    before(async () => {
      buckets = await kind.start();
      storage = await buckets.newBucket();
    });

    after(async () => {
      await buckets.stop();
    });

    flow(kind.name, () => storage);
  });

describe('stowage verify', () => {
  it('says that nothing is wrong in the folder of the original registry, and changes nothing there', async (context) => {
    const folder = await temporaryFolder('verified');
    context.after(() => {
      folder.remove();
    });
    extractOriginal(folder.path);
    const settings = { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path };
    const { code, output, errors } = await runStowage(['verify'], settings);
    assert.match(errors, /checked 32 blobs \(32 hashed, [^;]+; 9 repositories with 12 manifests, 12 tags,/);
    assert.match(errors, /^nothing is wrong$/m);
    assert.deepEqual([code, output], [0, '']);
  });

  it('exits with 2 if the storage cannot be read, or does not have what it is asked for', async (context) => {
    const folder = await temporaryFolder('verified');
    context.after(() => {
      folder.remove();
    });
    const here = { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder.path };
    const away = { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: `${folder.path}/away` };
    const readOnly = { ...here, REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true' };
    for (const [args, settings, message] of [
      [[], away, /the folder .* does not exist/],
      [['team/app'], here, /there is no repository team\/app in the storage/],
      [['--repair'], readOnly, /read-only/],
      [[], { ...here, REGISTRY_LOG_LEVLE: 'info' }, /no such setting/],
    ] as const) {
      const { code, output, errors } = await runStowage(['verify', ...args], settings);
      assert.match(errors, message);
      assert.deepEqual([code, output], [2, '']);
    }
  });

  for (const [args, message] of [
    [['--sample', '0'], /--sample: "0" is neither a share/],
    [['--sample', '101%'], /--sample: "101%" is neither a share/],
    [['--quick', '--sample', '3'], /--quick hashes no blobs/],
    [['--dry-run'], /--dry-run needs --repair/],
    [['--prefix', 'xyz'], /--prefix: "xyz" is not the beginning of a hexadecimal digest/],
    [['--prefix', '0', 'team/app'], /--prefix only hashes blobs/],
    [['--settle', 'soon'], /--settle: "soon" is not a duration/],
    [['Team/App'], /"Team\/App" is not the name of a repository/],
  ] as const)
    it(`refuses ${args.join(' ')}`, async () => {
      await assert.rejects(
        command.run(args),
        (error) => error instanceof UsageError && message.test(error.message),
      );
    });

  it('refuses --mount-hints without the secret by which they are encrypted', async (context) => {
    const storage = await folderStorage();
    context.after(() => {
      storage.remove();
    });
    const { code, errors } = await run(storage, '--mount-hints');
    assert.match(errors, /--mount-hints needs REGISTRY_HTTP_SECRET/);
    assert.equal(code, 2);
  });
});

describe('stowage verify after distribution', requires(distribution2.needs), () => {
  it('finds no damage in what distribution pushed, deleted and collected', async (context) => {
    const storage = await folderStorage();
    const theirs = await distribution2.start(storage.settings);
    context.after(async () => {
      await theirs.stop();
      storage.remove();
    });
    const client = new Client(`http://${theirs.address}`);
    for (const tag of ['kept', 'moved', 'moved']) await pushInPieces(client, 'team/app', tag);
    const deleted = await pushInPieces(client, 'team/app', 'deleted');
    const path = `/v2/team/app/manifests/${deleted}`;
    await client.must(202, { method: 'DELETE', path });
    const before = await run(storage);
    assert.deepEqual([before.code, before.output], [0, '']);
    await distribution2.collectGarbage(storage.settings);
    const after = await run(storage, '--json');
    assert.equal(after.code, 0);
    // The links of the config and the layer stay, which harms nobody.
    const kinds = findingsOf(after).map(({ severity, kind }) => `${severity} ${kind}`);
    assert.deepEqual(kinds, ['leftover layer-link-dangling', 'leftover layer-link-dangling']);
    const store = await FilesystemStore.open(
      storage.settings['REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY'] ?? '',
    );
    await fillRepository(store, 'team/other');
    assert.equal((await run(storage, '--quick')).code, 0);
  });
});

/** Distribution takes no blob in one POST. @returns the digest of an image with a config and a layer of its own */
async function pushInPieces(client: Client, name: string, tag: string): Promise<string> {
  const [config, layer] = [randomBytes(40), randomBytes(50)];
  for (const body of [config, layer]) {
    const path = withDigest(await client.startUpload(name), digestOf(body));
    await client.must(201, { method: 'PUT', path, body });
  }
  const bytes = manifest({ config: descriptor(config), layers: [descriptor(layer)] });
  await client.pushManifest(name, tag, bytes);
  return digestOf(bytes);
}
