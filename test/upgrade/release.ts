import { spawnSync } from 'node:child_process';
import { readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type BuildOptions } from 'esbuild';
import { temporaryFolder } from '../servers/folder.ts';
import { command } from '../servers/process.ts';
import type { Requirement } from '../servers/requires.ts';
import type { Version } from '../servers/stowage.ts';

/** The commit of the last release, from which users upgrade. Each release names itself here. */
const lastRelease = '3f49164bfb49ad74b51763b4d57150ba91f44c9d';

const root = join(import.meta.dirname, '../..');

/** The last release's programs. */
export interface Release extends Version {
  remove(): void;
}

/** Skips a test where the commit is not there, as in a shallow clone. */
export function requiresLastRelease(): Requirement {
  const { status } = spawnSync('git', ['cat-file', '-e', `${lastRelease}^{commit}`], { cwd: root });
  if (status === 0) return {};
  return { skip: `needs commit ${lastRelease.slice(0, 7)}, which git fetch --unshallow brings` };
}

/**
 * Bundles the last release in a temporary folder, in its own way, but with the packages of this version. Those that only the
 * last release needs stay in package.json until the next one: koa.
 */
export async function bundleLastRelease(): Promise<Release> {
  const folder = await temporaryFolder('release');
  const archive = join(folder.path, 'release.tar');
  await command('git', ['archive', '--output', archive, lastRelease], { cwd: root });
  await command('tar', ['--extract', '--file', archive], { cwd: folder.path });
  await symlink(join(root, 'node_modules'), join(folder.path, 'node_modules'));
  const [server, ...args] = await serveScript(folder.path);
  const functions = 'test/servers/functions.ts';
  const bundles = join(folder.path, 'bundles');
  await build({
    ...(await bundlingOf(folder.path)),
    entryPoints: [server, functions],
    absWorkingDir: folder.path,
    outbase: folder.path,
    outdir: bundles,
    splitting: true,
    logLevel: 'warning',
  });
  const bundle = (source: string) => join(bundles, source.replace(/\.ts$/, '.mjs'));
  return {
    server: [bundle(server), ...args],
    functions: [bundle(functions)],
    remove: () => {
      folder.remove();
    },
  };
}

/** What `npm run serve` starts there: the source, which is not at the same place in every release, and its arguments. */
async function serveScript(folder: string): Promise<[source: string, ...args: string[]]> {
  const { scripts } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as {
    scripts: { serve: string };
  };
  const [source, ...args] = /\S+\.ts\b.*$/.exec(scripts.serve)?.[0].split(' ') ?? [];
  if (source === undefined) throw new Error(`the last release serves by ${scripts.serve}`);
  return [source, ...args];
}

async function bundlingOf(folder: string): Promise<BuildOptions> {
  const module = pathToFileURL(join(folder, 'infra/bundling.ts')).href;
  return ((await import(module)) as { bundling: BuildOptions }).bundling;
}
