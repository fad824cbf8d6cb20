import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { describeAllFunctions, describeFunctions, functionNames } from '../../infra/gateway.ts';
import { digestFrom } from '../../lib/protocol/digests.ts';
import { parseRepositoryName } from '../../lib/protocol/names.ts';
import { blobData, uploadSession, uploadsPrefix } from '../../lib/registry/layout.ts';
import { createRegistry } from '../../lib/registry/registry.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { cleanEnvironment, command } from '../servers/process.ts';
import { runToEnd } from './run-node.ts';

const repository = parseRepositoryName('team/app');
const daysAgo = (days: number): Date => new Date(Date.now() - days * 24 * 60 * 60 * 1000);

const folders: Folder[] = [];
let root: string;
let store: FilesystemStore;

beforeEach(async () => {
  const folder = await temporaryFolder('infra-purge');
  folders.push(folder);
  root = folder.path;
  store = await FilesystemStore.open(root);
});

after(() => {
  for (const folder of folders) folder.remove();
});

const settings = () => ({ REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root });
const swept = async (...args: string[]) => await runToEnd(['purge-uploads', ...args], settings());

/** An upload made by the registry with this many bytes, last written some days ago. */
async function upload(days: number, size: number): Promise<string> {
  const { uploads } = createRegistry(store);
  const id = await uploads.start(repository);
  async function* body() {
    yield await Promise.resolve(randomBytes(size));
  }
  await uploads.append(repository, id, { body: body(), start: 0, length: size, partial: true });
  await utimes(join(root, uploadSession(id)), daysAgo(days), daysAgo(days));
  return id;
}

/** A multipart upload started at the key of a blob some days ago. */
async function multipart(days: number): Promise<string> {
  const key = blobData(digestFrom('sha256', randomBytes(32).toString('hex')));
  const file = join(root, '.tmp/multipart', await store.createMultipart(key), 'upload');
  const record = JSON.parse(await readFile(file, 'utf8')) as object;
  await writeFile(file, JSON.stringify({ ...record, started: daysAgo(days) }));
  return key;
}

/** Settings with which a process cannot delete the session of an upload. */
function stuck(id: string): NodeJS.ProcessEnv {
  const preload = `
    import fs from 'node:fs';
    const { unlink } = fs;
    fs.unlink = (path, done) => {
      if (!path.endsWith('/${id}/session')) unlink(path, done);
      else done(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }));
    };`;
  return { ...settings(), NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(preload)}` };
}

async function left(): Promise<{ sessions: string[]; multiparts: number }> {
  const { objects } = await store.list({ prefix: uploadsPrefix });
  const multiparts = await readdir(join(root, '.tmp/multipart'));
  return {
    sessions: objects.map(({ key }) => dirname(key).split('/').at(-1) ?? ''),
    multiparts: multiparts.length,
  };
}

describe('stowage purge-uploads', () => {
  it('purge-uploads prints each removal and the totals', async () => {
    const [large, small, living] = [
      await upload(8, 12_300_000),
      await upload(30, 10),
      await upload(6, 9_000_000),
    ];
    const key = await multipart(8);
    const { code, output } = await swept();
    assert.match(
      output,
      new RegExp(
        `^removed upload ${large} to team/app, 12\\.3 MB, last written \\S+Z, with its multipart upload$`,
        'm',
      ),
    );
    assert.match(
      output,
      new RegExp(`^removed upload ${small} to team/app, 10 bytes, last written \\S+Z$`, 'm'),
    );
    assert.match(output, new RegExp(`^removed multipart upload of ${key}, started \\S+Z$`, 'm'));
    assert.match(output, /^removed 2 uploads \(12\.3 MB\), 1 multipart upload without a session$/m);
    assert.equal(output.trim().split('\n').length, 5);
    assert.equal(code, 0);
    assert.deepEqual(await left(), { sessions: [living], multiparts: 1 });
    const again = await swept();
    assert.equal(again.code, 0);
    assert.equal(again.output, `looking for abandoned uploads in ${root}\nremoved nothing\n`);
  });

  it('a dry run of purge-uploads removes nothing', async () => {
    const id = await upload(8, 9_000_000);
    const { code, output } = await swept('--dry-run');
    assert.match(output, new RegExp(`^would remove upload ${id} to team/app, 9.0 MB`, 'm'));
    assert.match(output, /^would remove 1 upload \(9\.0 MB\)$/m);
    assert.equal(code, 0);
    assert.deepEqual(await left(), { sessions: [id], multiparts: 1 });
  });

  it('purge-uploads reports a missing folder and does not create it', async () => {
    const REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY = join(root, 'mistyped');
    const { code, output } = await runToEnd(['purge-uploads', '--dry-run'], {
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY,
    });
    assert.equal(code, 1);
    assert.match(
      output,
      /^purge-uploads failed: the folder .*mistyped does not exist; check REGISTRY_STORAGE_FILESYSTEM_ROOT/,
    );
    assert.ok(!existsSync(REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY));
  });

  it('purge-uploads takes another age', async () => {
    const [three, thirty] = [await upload(3, 10), await upload(31, 10)];
    assert.match((await swept('--older-than', '30d')).output, new RegExp(`^removed upload ${thirty}`, 'm'));
    assert.deepEqual((await left()).sessions, [three]);
    assert.match((await swept('--older-than=48h')).output, new RegExp(`^removed upload ${three}`, 'm'));
    assert.deepEqual((await left()).sessions, []);
  });

  for (const [args, fault] of [
    [['--older-than', '47h'], /too short.*minimum is 2d/],
    [['--older-than', '1d'], /too short/],
    [['--older-than', '0d'], /too short/],
    [['--older-than', '7'], /"7" is not an age[^]*Usage/],
    [['--older-than', '7w'], /"7w" is not an age/],
    [['--older-than', '-7d'], /Usage/],
    [['--older-than'], /^--older-than needs a value\n\nUsage/m],
    [['--older-than', '--dry-run'], /^--older-than needs a value\n\nUsage/m],
    [['--dry-run=yes'], /^--dry-run takes no value\n\nUsage/m],
    [['--dryrun'], /"--dryrun" is not a known option; did you mean --dry-run\?[^]*Usage/],
    [['a.yml', 'now'], /now[^]*Usage/],
  ] as const)
    it(`refuses ${args.join(' ')}`, async () => {
      const id = await upload(100, 10);
      const { code, output } = await swept(...args);
      assert.equal(code, 2);
      assert.match(output, fault);
      assert.doesNotMatch(output, /\n\s+at /);
      assert.deepEqual((await left()).sessions, [id]);
    });

  it('purge-uploads prints its usage and removes nothing', async () => {
    const id = await upload(100, 10);
    const { code, output } = await swept('--help');
    assert.equal(code, 0);
    assert.match(output, /^Usage: stowage purge-uploads/);
    assert.deepEqual((await left()).sessions, [id]);
  });

  it('purge-uploads continues after a failure, names it at the end and exits with 1', async () => {
    const [fine, kept] = [await upload(8, 10), await upload(8, 10)];
    const { code, output } = await runToEnd(['purge-uploads'], stuck(kept));
    assert.equal(code, 1);
    assert.match(output, new RegExp(`removed upload ${fine}`));
    assert.match(output, new RegExp(`^could not remove ${uploadSession(kept)}: .*\\n1 failure`, 'm'));
    assert.match(output, /removed 1 upload \(10 bytes\)/);
    assert.doesNotMatch(output, /\n\s+at /);
    assert.deepEqual((await left()).sessions, [kept]);
  });

  it('purge-uploads prints faults of its settings and its storage', async () => {
    const wrong = await runToEnd(['purge-uploads'], { REGISTRY_STORAGE: 'tape', REGISTRY_X: 'y' });
    assert.equal(wrong.code, 1);
    for (const name of ['REGISTRY_STORAGE', 'REGISTRY_X'])
      assert.match(wrong.output, new RegExp(`- ${name}: `));
    const away = await runToEnd(['purge-uploads'], {
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: import.meta.filename,
    });
    assert.equal(away.code, 1);
    assert.match(away.output, /purge-uploads failed: .*check REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY\./);
    for (const { output } of [wrong, away]) assert.doesNotMatch(output, /\n\s+at /);
  });
});

const readOnly = { REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true' };

it('purge-uploads refuses in read-only mode and names the setting; a dry run works', async () => {
  const id = await upload(8, 10);
  const purge = async (...args: string[]) =>
    await runToEnd(['purge-uploads', ...args], { ...settings(), ...readOnly });
  const { code, output } = await purge();
  assert.equal(code, 1);
  assert.match(output, /the registry is read-only; remove REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED/);
  assert.match((await purge('--dry-run')).output, new RegExp(`^would remove upload ${id}`, 'm'));
  assert.deepEqual((await left()).sessions, [id]);
});

it('a purge whose --dry-run went to npm removes nothing, and says how to give it', async () => {
  const id = await upload(8, 10);
  const args = ['run', '--silent', 'purge-uploads', '--dry-run'];
  await assert.rejects(
    command('npm', args, { cwd: join(import.meta.dirname, '../..'), env: cleanEnvironment(settings()) }),
    /--dry-run was given to npm; write npm run purge-uploads -- --dry-run/,
  );
  assert.deepEqual((await left()).sessions, [id]);
});

describe('the function purge-uploads', () => {
  const program = `
    const { handler } = await import(${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../../functions/purge-uploads.ts')).href)});
    const call = async () => await handler({}).then(() => 'resolved', () => 'rejected');
    console.log(JSON.stringify({ outcome: [await call(), await call()] }));`;

  /** Calls it twice in one process. */
  async function invoked(env: NodeJS.ProcessEnv): Promise<Record<string, unknown>[]> {
    const { text } = await command(process.execPath, ['--input-type=module', '--eval', program], {
      env: cleanEnvironment(env),
    });
    return text.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  it('the function purge-uploads logs removals and totals', async () => {
    const [old, living] = [await upload(8, 1000), await upload(6, 10)];
    const [removed, done, again, end] = await invoked(settings());
    assert.partialDeepStrictEqual(removed, {
      level: 'info',
      kind: 'upload',
      id: old,
      repository,
      received: 1000,
    });
    assert.partialDeepStrictEqual(done?.['totals'], { uploads: 1, received: 1000, failures: 0 });
    assert.partialDeepStrictEqual(again?.['totals'], { uploads: 0 });
    assert.deepEqual(end, { outcome: ['resolved', 'resolved'] });
    assert.deepEqual((await left()).sessions, [living]);
  });

  it('the scheduled function leaves a read-only registry unchanged and says so', async () => {
    const id = await upload(8, 10);
    const lines = await invoked({ ...settings(), ...readOnly });
    assert.match(String(lines[0]?.['msg']), /the registry is read-only; remove REGISTRY_STORAGE_/);
    assert.deepEqual(lines.at(-1), { outcome: ['resolved', 'resolved'] });
    assert.deepEqual((await left()).sessions, [id]);
  });

  it('the function purge-uploads rejects after an incomplete purge, so that the call counts as failed', async () => {
    const [kept, fine] = [await upload(8, 10), await upload(8, 10)];
    const lines = await invoked(stuck(kept));
    assert.deepEqual(lines.at(-1), { outcome: ['rejected', 'rejected'] });
    assert.ok(lines.some(({ level, key }) => level === 'error' && key === uploadSession(kept)));
    assert.ok(lines.some(({ kind, id }) => kind === 'upload' && id === fine));
    assert.deepEqual((await left()).sessions, [kept]);
  });

  it('the function purge-uploads rejects wrong settings and logs their faults', async () => {
    const lines = await invoked({ REGISTRY_X: 'y' });
    assert.match(String(lines[0]?.['faults']), /REGISTRY_X/);
    assert.deepEqual(lines.at(-1), { outcome: ['rejected', 'rejected'] });
  });

  it('the scheduled function is deployed with a schedule and without a route', () => {
    assert.ok(functionNames.includes('purge-uploads'));
    assert.equal(describeFunctions()['purge-uploads'], undefined);
    assert.partialDeepStrictEqual(describeAllFunctions()['purge-uploads'], {
      handler: 'dist/functions/purge-uploads.handler',
      events: [{ schedule: 'rate(1 day)' }],
    });
    assert.deepEqual(Object.keys(describeAllFunctions()).sort(), [...functionNames].sort());
  });
});
