import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { memoryEnvironment, memoryFlags } from '../../lib/commands/low-memory.ts';
import { runNode, runStowage } from '../infra/run-node.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { cleanEnvironment, command, launch } from '../servers/process.ts';
import { serves } from '../servers/registry.ts';

const root = join(import.meta.dirname, '../..');
const { version, scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string;
  scripts: { serve: string };
};

/** Commands that read settings. */
const configured = ['serve', 'start', 'purge-uploads', 'reindex', 'usage'];

/** Every command by its name, and by its alias. */
const names = [...configured, 'verify', 'gc', 'htpasswd', 'policy', 'token'];
const nameOf: Readonly<Record<string, string>> = {
  ...Object.fromEntries(names.map((name) => [name, name])),
  sweep: 'purge-uploads',
};

/** Runs `stowage serve` with nothing that package.json adds, and ends it. @param during is given its process id */
async function serveBare(
  [program, ...args]: readonly [string, ...string[]],
  folder: string,
  during: (pid: number) => void = () => undefined,
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  const address = `127.0.0.1:${await freePort()}`;
  const env = cleanEnvironment({
    REGISTRY_HTTP_ADDR: address,
    REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder,
    ...more,
  });
  const server = await launch(program, [...args, 'serve'], async () => await serves(address), { env });
  try {
    during(server.pid);
  } finally {
    assert.deepEqual(await server.stop('SIGINT'), { code: 0, signal: null }, server.output());
  }
}

describe('the command stowage', () => {
  it('lists its commands for --help, -h and help, and exits with 0', async () => {
    for (const arg of ['--help', '-h', 'help']) {
      const { code, output, errors } = await runStowage([arg]);
      assert.match(output, /^Usage: stowage COMMAND/);
      for (const name of Object.keys(nameOf)) assert.match(output, new RegExp(`^  .*\\b${name}\\b`, 'm'));
      assert.deepEqual([code, errors], [0, '']);
    }
  });

  it('prints its usage as an error, and exits with 2, without a command', async () => {
    const { code, output, errors } = await runStowage([]);
    assert.match(errors, /^Usage: stowage COMMAND/);
    assert.deepEqual([code, output], [2, '']);
  });

  it('names its release for --version', async () => {
    const { code, output } = await runStowage(['--version']);
    assert.deepEqual([code, output], [0, `stowage ${version}\n`]);
  });

  for (const [given, name] of [
    ...Object.entries(nameOf),
    ...names.slice(configured.length).map((name) => [name, name] as const),
  ])
    it(`prints the usage of ${given} for --help and does nothing`, async () => {
      // Nothing could be done with such settings.
      const { code, output, errors } = await runStowage([given, '--help'], { REGISTRY_STORAGE: 'tape' });
      assert.match(output, new RegExp(`^Usage: stowage ${name}\\b`));
      assert.deepEqual([code, errors], [0, '']);
    });

  it('prints the usage of reindex for "help reindex"', async () => {
    assert.match((await runStowage(['help', 'reindex'])).output, /^Usage: stowage reindex/);
  });

  for (const [given, message] of [
    ['sevre', '"sevre" is not a known command; did you mean serve?'],
    ['purge', '"purge" is not a known command; did you mean purge-uploads?'],
    ['--verison', '"--verison" is not a known option; did you mean --version?'],
    ['constructor', '"constructor" is not a known command; stowage --help lists all of them'],
  ] as const)
    it(`refuses ${given} with exit code 2 and suggests the similar name`, async () => {
      const { code, output, errors } = await runStowage([given]);
      assert.deepEqual([code, output, errors], [2, '', `${message}\n`]);
    });

  for (const name of names)
    it(`refuses an option that ${name} does not know with exit code 2, and prints its usage`, async () => {
      const { code, output, errors } = await runStowage([name, '--colour=red']);
      assert.match(
        errors,
        new RegExp(`^"--colour" is not a known option\\n\\nUsage: stowage ${name}\\b[^]*(?<!\\n\\s+at .*)$`),
      );
      assert.deepEqual([code, output], [2, '']);
    });

  for (const name of configured)
    it(`${name} exits with 1 for a mistyped setting and suggests the right one`, async () => {
      const { code, output, errors } = await runStowage([name], {
        REGISTRY_LOG_LEVLE: 'info',
        SEARCH_BAKCEND: 'LOCAL',
        SEARCH_ENGINE: 'of another program',
      });
      assert.match(errors, /^Invalid settings:\n/);
      assert.match(errors, /^ {2}- REGISTRY_LOG_LEVLE: no such setting; did you mean REGISTRY_LOG_LEVEL\?$/m);
      assert.match(errors, /^ {2}- SEARCH_BAKCEND: no such setting; did you mean SEARCH_BACKEND\?$/m);
      assert.doesNotMatch(errors, /SEARCH_ENGINE|\n\s+at /);
      assert.deepEqual([code, output], [1, '']);
    });

  it('npm run serve passes the options that keep memory low, so the process does not restart itself', () => {
    const variables = Object.entries(memoryEnvironment).map((variable) => variable.join('='));
    const words = ['exec', 'env', ...variables, 'node', ...memoryFlags, 'lib/commands/stowage.ts', 'serve'];
    assert.equal(scripts.serve, words.join(' '));
  });

  it('npm scripts run the command stowage and pass their arguments on', async () => {
    for (const [script, name] of Object.entries(nameOf)) {
      const { text } = await command('npm', ['run', '--silent', script, '--', '--help'], { cwd: root });
      assert.match(text, new RegExp(`^Usage: stowage ${name}\\b`));
    }
  });
});

interface Manifest {
  readonly bin: { readonly stowage: string };
  readonly dependencies?: object;
}

describe('the package of npm', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let files: readonly string[];
  let manifest: Manifest;
  /** The file that `bin` names, far from any package that it could import. */
  let program: string;

  before(async () => {
    folder = await temporaryFolder('package');
    const pack = ['pack', '--silent', '--pack-destination', folder.path];
    const { text } = await command('npm', pack, { cwd: root });
    const tarball = join(folder.path, text.split('\n').at(-1) ?? '');
    const tar = await command('tar', ['--extract', '--verbose', '--file', tarball], { cwd: folder.path });
    files = tar.text.split('\n').map((file) => file.replace(/^package\//, ''));
    manifest = JSON.parse(readFileSync(join(folder.path, 'package/package.json'), 'utf8')) as Manifest;
    program = join(folder.path, 'package', manifest.bin.stowage);
  });

  after(() => {
    folder.remove();
  });

  it('the npm package contains the bundle, its licences and the documentation, but no sources', () => {
    const others = files.filter(
      (file) =>
        !/^dist\/stowage\/[\w-]+\.mjs$|^docs\/((decisions|deploy)\/)?[\w-]+\.md$|^docs\/performance\/[\w-]+\.svg$/.test(
          file,
        ),
    );
    assert.deepEqual(others.sort(), [
      'CHANGELOG.md',
      'CONTRIBUTING.md',
      'LICENSE',
      'README.md',
      'SECURITY.md',
      'dist/THIRD-PARTY-LICENSES.txt',
      'dist/stowage.mjs',
      'package.json',
    ]);
  });

  it('the npm package has no dependencies, since the bundle contains them', () => {
    assert.equal(manifest.dependencies, undefined);
  });

  it('the bundle runs when its file is executed, as npx does', async () => {
    assert.equal((await command(program, ['--version'])).text, `stowage ${version}`);
    const images = join(folder.path, 'images');
    await serveBare([program], images);
    const { code, output } = await runNode([program, 'purge-uploads', '--dry-run'], {
      REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: images,
    });
    assert.deepEqual([code, output.split('\n')[1]], [0, 'would remove nothing']);
  });

  it('serve restarts itself with the options that keep memory low, under the same process id', async () => {
    await serveBare([program], join(folder.path, 'images'), (pid) => {
      const words = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0');
      assert.deepEqual(words('cmdline').slice(1, 5), [...memoryFlags, program, 'serve']);
      for (const [name, value] of Object.entries(memoryEnvironment))
        assert.ok(words('environ').includes(`${name}=${value}`), name);
    });
  });

  it('serve keeps a memory flag given in NODE_OPTIONS when it restarts itself', async () => {
    const checkFlags = (pid: number) => {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      assert.deepEqual(words.slice(1, 4), ['--heap-growing-percent=20', program, 'serve']);
    };
    for (const flag of ['--max-semi-space-size=32', '--max_semi_space_size=32'])
      await serveBare([program], join(folder.path, 'images'), checkFlags, {
        NODE_OPTIONS: `--no-warnings ${flag}`,
      });
  });

  it('serve starts where Node may not start programs and so cannot restart itself', async () => {
    const permissions = ['--permission', '--allow-fs-read=*', '--allow-fs-write=*'];
    await serveBare([process.execPath, ...permissions, program], join(folder.path, 'images'));
  });

  it('says that start needs a checkout', async () => {
    const { code, errors } = await runNode([program, 'start'], {});
    assert.match(errors, /^start failed: .*checkout.*stowage serve/);
    assert.equal(code, 1);
  });
});
