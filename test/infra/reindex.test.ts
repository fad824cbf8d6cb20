import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, beforeEach, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { describeAllFunctions, describeFunctions, functionNames } from '../../infra/gateway.ts';
import { FilesystemStore } from '../../lib/storage/filesystem/store.ts';
import { Client, someName } from '../functions/client.ts';
import { fillStore } from '../search/bucket-ground.ts';
import { temporaryFolder, type Folder } from '../servers/folder.ts';
import { cleanEnvironment, command } from '../servers/process.ts';
import { serve } from '../servers/stowage.ts';
import { runToEnd } from './run-node.ts';

const folders: Folder[] = [];
let root: string;
let list: string;

beforeEach(async () => {
  const folder = await temporaryFolder('infra-reindex');
  folders.push(folder);
  root = join(folder.path, 'images');
  list = join(folder.path, 'repositories');
  await fillStore(await FilesystemStore.open(root), ['a', 'a_b', 'ab']);
});

after(() => {
  for (const folder of folders) folder.remove();
});

const local = () => ({ SEARCH_BACKEND: 'LOCAL', SEARCH_BACKEND_LOCAL: list });
const settings = () => ({ REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root, ...local() });
const listed = async () => (await readFile(list, 'utf8')).split('\n').filter(Boolean);
const reindexed = async (...args: string[]) => await runToEnd(['reindex', ...args], settings());

describe('stowage reindex', () => {
  it('reindex makes the list match the storage and prints what it changed', async () => {
    await writeFile(list, 'gone\na\n');
    const { code, output } = await reindexed();
    assert.match(output, /^the list has 3 repositories: 2 added, 1 removed, in \d+\.\d s$/m);
    assert.ok(!output.includes('\u001b') && !output.includes('\r'));
    assert.equal(code, 0);
    assert.deepEqual(await listed(), ['a', 'a_b', 'ab']);
    assert.match((await reindexed()).output, /^the list has 3 repositories: 0 added, 0 removed/m);
  });

  it('reindex reports that nothing is to do if the bucket is the list', async () => {
    const { code, output } = await runToEnd(['reindex'], {
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root,
    });
    assert.equal(code, 0);
    assert.match(output, /^SEARCH_BACKEND is not set: the bucket itself is the list/);
  });

  for (const args of [['--force'], ['a.yml', 'now'], ['--dry-run', 'x']])
    it(`refuses ${args.join(' ')}`, async () => {
      const { code, output } = await reindexed(...args);
      assert.equal(code, 2);
      assert.match(output, /Usage: stowage reindex/);
      assert.ok(!existsSync(list));
    });

  it('reindex prints its usage and changes nothing', async () => {
    const { code, output } = await reindexed('--help');
    assert.equal(code, 0);
    assert.match(output, /^Usage: stowage reindex/);
    assert.ok(!existsSync(list));
  });

  it('reindex lists every wrong setting', async () => {
    for (const [env, fault] of [
      [{ SEARCH_BACKEND: 'REDIS' }, /SEARCH_BACKEND: "REDIS" is not one of MYSQL, LOCAL/],
      [{ SEARCH_BACKEND: 'MYSQL' }, /SEARCH_BACKEND_MYSQL: missing/],
      [{ SEARCH_BACKEND_LOCAL: '/x' }, /SEARCH_BACKEND_LOCAL: has no effect without/],
      [{ SEARCH_BACKEND_REDIS: 'x' }, /SEARCH_BACKEND_REDIS: no such setting/],
      [
        { SEARCH_BACKEND: 'LOCAL', SEARCH_BACKEND_LOCAL: '/proc/x/y' },
        /SEARCH_BACKEND_LOCAL: .*cannot be used/,
      ],
      [
        { SEARCH_BACKEND: 'MYSQL', SEARCH_BACKEND_MYSQL: 'u:secret-word@tcp(127.0.0.1:1)/db' },
        /nothing listens at the address of SEARCH_BACKEND_MYSQL; start the server/,
      ],
      [
        { ...local(), REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: '/no/such/folder' },
        /the folder .* does not exist/,
      ],
    ] as const) {
      const { code, output } = await runToEnd(['reindex'], {
        REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root,
        ...env,
      });
      assert.equal(code, 1, output);
      assert.match(output, fault);
      assert.doesNotMatch(output, /\n\s+at |secret-word/);
    }
  });
});

const readOnly = { REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED: 'true' };

it('reindex refuses in read-only mode and names the setting', async () => {
  await writeFile(list, 'gone\na\n');
  const { code, output } = await runToEnd(['reindex'], { ...settings(), ...readOnly });
  assert.equal(code, 1);
  assert.match(output, /the registry is read-only; remove REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED/);
  assert.deepEqual(await listed(), ['gone', 'a']);
});

it('a server in read-only mode leaves the list of repositories unchanged', async () => {
  await writeFile(list, 'gone\na\n');
  const registry = await serve(root, { ...local(), ...readOnly });
  const { body } = await new Client(`http://${registry.address}`).must(200, {
    method: 'GET',
    path: '/v2/_catalog',
  });
  assert.deepEqual(JSON.parse(body.toString()), { repositories: ['a', 'gone'] });
  assert.match(registry.output(), /the registry is read-only/);
  await registry.stop();
  assert.deepEqual(await listed(), ['gone', 'a']);
});

describe('the function that reindexes', () => {
  const program = `
    const { handler } = await import(${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../../functions/reindex.ts')).href)});
    const call = async () => await handler({}).then(() => 'resolved', () => 'rejected');
    console.log(JSON.stringify({ outcome: [await call(), await call()] }));
    process.exit();`;

  /** Calls it twice in one process. */
  async function invoked(env: NodeJS.ProcessEnv): Promise<Record<string, unknown>[]> {
    const { text } = await command(process.execPath, ['--input-type=module', '--eval', program], {
      env: cleanEnvironment(env),
    });
    return text.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  it('the function reindex logs what it changed', async () => {
    const [first, second, end] = await invoked(settings());
    assert.deepEqual(first?.['reindexed'], { names: 3, added: 3, removed: 0 });
    assert.deepEqual(second?.['reindexed'], { names: 3, added: 0, removed: 0 });
    assert.deepEqual(end, { outcome: ['resolved', 'resolved'] });
    assert.deepEqual(await listed(), ['a', 'a_b', 'ab']);
  });

  it('the scheduled function leaves a read-only registry unchanged and says so', async () => {
    await writeFile(list, 'gone\na\n');
    const lines = await invoked({ ...settings(), ...readOnly });
    assert.match(
      String(lines[0]?.['msg']),
      /^reindex does not run: the registry is read-only; remove REGISTRY_STORAGE_/,
    );
    assert.deepEqual(lines.at(-1), { outcome: ['resolved', 'resolved'] });
    assert.deepEqual(await listed(), ['gone', 'a']);
  });

  it('the function reindex rejects if the list is out of reach and logs why without the DSN', async () => {
    const lines = await invoked({
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root,
      SEARCH_BACKEND: 'MYSQL',
      SEARCH_BACKEND_MYSQL: 'u:secret-word@tcp(127.0.0.1:1)/db',
    });
    assert.deepEqual(lines.at(-1), { outcome: ['rejected', 'rejected'] });
    assert.match(JSON.stringify(lines), /nothing listens at the address of SEARCH_BACKEND_MYSQL/);
    assert.ok(!JSON.stringify(lines).includes('secret-word'));
  });

  it('the function reindex refuses a list on the local disk of Lambda', async () => {
    for (const more of [{}, { SEARCH_BACKEND_LOCAL: '/tmp/repositories' }]) {
      const lines = await invoked({
        AWS_LAMBDA_FUNCTION_NAME: 'reindex',
        REGISTRY_STORAGE_S3_BUCKET: 'b',
        REGISTRY_STORAGE_S3_REGION: 'us-east-1',
        SEARCH_BACKEND: 'LOCAL',
        ...more,
      });
      assert.match(String(lines[0]?.['faults']), /SEARCH_BACKEND_LOCAL: Lambda's disk is lost/);
    }
  });

  it('the scheduled function is deployed with a schedule and without a route', () => {
    assert.ok(functionNames.includes('reindex'));
    assert.equal(describeFunctions()['reindex'], undefined);
    assert.partialDeepStrictEqual(describeAllFunctions()['reindex'], {
      handler: 'dist/functions/reindex.handler',
      events: [{ schedule: 'rate(1 day)' }],
    });
  });
});

describe('stowage serve with a local file', () => {
  it('serve fills the list file from the storage at its start and adds pushes', async () => {
    const registry = await serve(root, local());
    const client = new Client(`http://${registry.address}`);
    const name = someName();
    await client.pushImage(name, 'v1');
    for (let tries = 0; tries < 50 && (await listed()).length < 4; tries++)
      await new Promise((resolve) => setTimeout(resolve, 100));
    assert.deepEqual((await listed()).sort(), ['a', 'a_b', 'ab', name].sort());
    const { body } = await client.must(200, { method: 'GET', path: '/v2/_catalog' });
    assert.deepEqual(JSON.parse(body.toString()), { repositories: ['a', 'a_b', 'ab', name] });
    await registry.stop();
  });

  it('serve does not start if the list file cannot be used', async () => {
    const { code, output } = await runToEnd(['serve'], {
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root,
      REGISTRY_HTTP_ADDR: '127.0.0.1:0',
      SEARCH_BACKEND: 'LOCAL',
      SEARCH_BACKEND_LOCAL: '/proc/x/repositories',
    });
    assert.equal(code, 1);
    assert.match(output, /cannot start: SEARCH_BACKEND_LOCAL: .*set it to a file/);
    assert.doesNotMatch(output, /\n\s+at /);
  });
});
