import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFirst } from './go.ts';
import { cleanEnvironment } from './process.ts';

/** Files of Go modules that tests read: the configuration files of distribution, and its reference of settings. */
export const goSources = {
  distribution2: {
    module: 'github.com/docker/distribution@v2.8.3+incompatible',
    files: [
      'docs/configuration.md',
      ...['config-dev.yml', 'config-example.yml', 'config-cache.yml'].map((name) => `cmd/registry/${name}`),
    ],
  },
  distribution3: {
    module: 'github.com/distribution/distribution/v3@v3.1.1',
    files: [
      'docs/content/about/configuration.md',
      ...['config-dev.yml', 'config-example.yml', 'config-cache.yml'].map((name) => `cmd/registry/${name}`),
    ],
  },
} as const satisfies Record<string, { module: string; files: readonly string[] }>;

export type GoSource = keyof typeof goSources;

/** Goes with the packages of npm. */
const cache = join(import.meta.dirname, '../../node_modules/.cache/stowage-sources');

/** Where `npm run test:setup` puts a file of a module. */
export function sourceFile(name: GoSource, file: string): string {
  return join(cache, goSources[name].module.replaceAll('/', '_'), basename(file));
}

/** Why a module's files are not here, or nothing when they are. */
export function whyNoSource(name: GoSource): string | undefined {
  return goSources[name].files.every((file) => existsSync(sourceFile(name, file)))
    ? undefined
    : `needs the files of ${goSources[name].module}, which npm run test:setup copies where Go is`;
}

/** Downloads a module and copies its files. */
export async function copySources(name: GoSource): Promise<void> {
  const { module, files } = goSources[name];
  mkdirSync(cache, { recursive: true });
  const env = cleanEnvironment({ GOPROXY: await cacheFirst(cache) });
  const { stdout } = await promisify(execFile)('go', ['mod', 'download', '-json', module], {
    cwd: cache,
    env,
    timeout: 600_000,
  });
  const { Dir: folder } = JSON.parse(stdout) as { Dir: string };
  for (const file of files) {
    const target = sourceFile(name, file);
    mkdirSync(join(target, '..'), { recursive: true });
    copyFileSync(join(folder, file), target);
  }
}
