import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { temporaryFolder, type Folder } from './servers/folder.ts';
import { cleanEnvironment } from './servers/process.ts';

const RUNNER = fileURLToPath(new URL('run.ts', import.meta.url));
const REQUIRES = new URL('servers/requires.ts', import.meta.url).href;

/** Test files, with the expected last line and exit code of a run of the file. */
const CASES: { of: string; source: string; last: string; code: number; says?: RegExp }[] = [
  {
    of: 'tests that pass, but not their suites',
    source: `describe('a', () => { describe('b', () => { it('c', () => {}); it('d', (t) => t.test('e', () => {})); }); });`,
    last: '2 passed, 0 failed',
    code: 0,
  },
  {
    of: 'a failed test once, however deep it is nested',
    source: `describe('a', () => { it('b', () => {}); it('c', (t) => t.test('d', () => { throw new Error('why'); })); });`,
    last: '1 passed, 1 failed',
    code: 1,
    says: /\.test\.ts > a > c > d\n +Error: why/,
  },
  {
    of: 'skipped tests and suites, with the reason',
    source: `it('a', () => {}); it('b', { skip: 'needs c' }, () => {}); describe('d', { skip: 'needs e' }, () => {});`,
    last: '1 passed, 0 failed, 2 skipped',
    code: 0,
    says: /1 × needs c\n +1 × needs e/,
  },
  {
    of: 'a failed hook and the tests that it prevents',
    source: `describe('a', () => { before(() => { throw new Error('why'); }); it('b', () => {}); });`,
    last: '0 passed, 2 failed',
    code: 1,
    says: /Error: why/,
  },
  {
    of: 'a failed after hook',
    source: `describe('a', () => { after(() => { throw new Error('why'); }); it('b', () => {}); });`,
    last: '1 passed, 1 failed',
    code: 1,
  },
  {
    of: 'a test that times out',
    source: `it('a', { timeout: 10 }, () => new Promise((done) => setTimeout(done, 1000)));`,
    last: '0 passed, 1 failed',
    code: 1,
    says: /timed out after 10ms/,
  },
  {
    of: 'a test file that does not load',
    source: `import './missing.ts';`,
    last: '0 passed, 1 failed',
    code: 1,
    says: /Cannot find module/,
  },
  {
    of: 'an error that is thrown after the tests have passed',
    source: `it('a', () => { setTimeout(() => { throw new Error('late'); }, 50); });`,
    last: '1 passed, 1 failed',
    code: 1,
    says: /late/,
  },
  {
    of: 'a test file that exits before all its tests have run',
    source: `it('a', () => { process.exit(0); }); it('b', () => {});`,
    last: '0 passed, 1 failed',
    code: 1,
  },
  { of: 'a test file without a test', source: ``, last: '0 passed, 1 failed', code: 1, says: /has no tests/ },
];

describe('npm test', () => {
  let folder: Folder;

  before(async () => {
    folder = await temporaryFolder('run');
  });

  after(() => {
    folder.remove();
  });

  const writeTest = async (name: string, source: string) => {
    const file = join(folder.path, `${name}.test.ts`);
    const imports = `import { after, before, describe, it } from 'node:test';\n`;
    await writeFile(file, `${imports}import { requires } from '${REQUIRES}';\n${source}\n`);
    return file;
  };

  for (const [index, { of, source, last, code, says }] of CASES.entries()) {
    it(`counts ${of}`, async () => {
      const outcome = await finish(runner([await writeTest(`case-${index}`, source)]));
      assert.equal(outcome.lines.at(-1), last, outcome.lines.join('\n'));
      assert.equal(outcome.code, code);
      if (says) assert.match(outcome.lines.join('\n'), says);
    });
  }

  it('adds up the tests of several files', async () => {
    const files = await Promise.all(
      ['x', 'y'].map(async (name) => await writeTest(name, `it('a', () => {});`)),
    );
    assert.equal((await finish(runner(files))).lines.at(-1), '2 passed, 0 failed');
  });

  it('prints tests of a shared module below the test file that was run', async () => {
    await writeTest(
      'shared',
      `export const declare = (n) => describe(n, () => { it('a ' + n, () => {}); });`,
    );
    const entry = (name: string) => `import { declare } from './shared.test.ts'; declare('${name}');`;
    const files = await Promise.all(['p', 'q'].map(async (name) => await writeTest(name, entry(name))));
    const { lines } = await finish(runner(files));
    assert.match(lines.join('\n'), /p\.test\.ts\n.* p\n.* a p .*\n.*\n\n.*q\.test\.ts\n.* q\n.* a q/);
  });

  it('runs only the tests that match --grep', async () => {
    const file = await writeTest('grep', `it('this one', () => {}); it('another', () => {});`);
    assert.equal((await finish(runner([file, '--grep', 'this']))).lines.at(-1), '1 passed, 0 failed');
  });

  it('prints with --coverage how much of each source ran in tests and their child processes', async () => {
    const [tags, names] = ['tags', 'names'].map(
      (one) => new URL(`../lib/protocol/${one}.ts`, import.meta.url),
    );
    const start = `execFileSync(process.execPath, [${JSON.stringify(fileURLToPath(names ?? ''))}])`;
    const source = `import { execFileSync } from 'node:child_process'; import '${tags?.href}'; it('a', () => { ${start}; });`;
    const { lines } = await finish(runner([await writeTest('coverage', source), '--coverage']));
    const output = lines.join('\n');
    for (const one of ['tags', 'names'])
      assert.match(output, new RegExp(`[1-9][0-9.]+ .*lib/protocol/${one}.ts`));
    assert.match(output, /never loaded:\n(.*\n)*? +lib\/protocol\/referrers\.ts/);
    assert.equal(lines.at(-1), '1 passed, 0 failed');
  });

  it('reports coverage in spite of a truncated coverage file', async () => {
    const write = `writeFileSync(process.env.NODE_V8_COVERAGE + '/coverage-1-1700000000000-0.json', '{"result":[')`;
    const source = `import { writeFileSync } from 'node:fs'; it('a', () => { ${write}; });`;
    const { lines } = await finish(runner([await writeTest('truncated', source), '--coverage']));
    assert.match(lines.join('\n'), /never loaded:/);
    assert.equal(lines.at(-1), '1 passed, 0 failed');
  });

  for (const program of ['run.ts', 'benchmarks/bench.ts', 'benchmarks/load.ts'])
    it(`prints the usage of ${program} for --help`, async () => {
      const path = fileURLToPath(new URL(program, import.meta.url));
      const { lines, code } = await finish(spawn(process.execPath, [path, '--help']));
      assert.match(lines[0] ?? '', /^Usage: npm (test|run bench)/);
      assert.equal(code, 0);
    });

  it('fails if no test file matches the arguments', async () => {
    const { code } = await finish(runner(['no/such/folder']));
    assert.equal(code, 2);
  });

  it('skips tests whose server is missing, and fails them in CI', async () => {
    const file = await writeTest('ci', `describe('a', requires('skopeo'), () => { it('b', () => {}); });`);
    const skipped = await finish(runner([file], { PATH: '/nowhere' }));
    assert.equal(skipped.lines.at(-1), '0 passed, 0 failed, 1 skipped');
    assert.match(skipped.lines.join('\n'), /needs skopeo, which npm run test:setup installs as root/);
    const failed = await finish(runner([file], { PATH: '/nowhere', CI: 'true' }));
    assert.equal(failed.lines.at(-1), '0 passed, 1 failed');
    assert.match(failed.lines.join('\n'), /needs skopeo/);
  });

  it('reports when it is interrupted', async () => {
    const source = `it('a', () => new Promise((done) => { process.kill(process.ppid, 'SIGTERM'); setTimeout(done, 60_000); }));`;
    const { lines, code } = await finish(runner([await writeTest('slow', source)]));
    assert.equal(lines.at(-1), '0 passed, 1 failed');
    assert.equal(code, 1);
  });
});

function runner(args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  return spawn(process.execPath, [RUNNER, ...args], { env: cleanEnvironment({ CI: 'false', ...env }) });
}

async function finish(child: ChildProcess): Promise<{ lines: string[]; code: number | null }> {
  if (!child.stdout || !child.stderr) throw new Error('the runner has no output');
  const [output] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { lines: output.trimEnd().split('\n'), code: child.exitCode };
}
