import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Dockerd } from './dockerd.ts';
import { command } from './process.ts';

const project = join(import.meta.dirname, '../..');

/** What takes the place of the Dockerfile's base images and of its first stage. */
const [base, assembled] = ['stowage-test/base', 'stowage-test/assembled'];

/** The packages of distroless' cc images, by their names in Debian 12. */
const packages = [
  'base-files',
  'ca-certificates',
  'libc6',
  'libgcc-s1',
  'libgomp1',
  'libssl3',
  'libstdc++6',
  'media-types',
  'netbase',
  'tzdata',
];

/** Debian's mirror, as this machine has it. */
const sources = '/etc/apt/sources.list.d/debian.sources';

/**
 * Builds the image of infra/image/Dockerfile, without pulling another, and returns its name. Docker runs the last stage as
 * it is written, on a base of the same packages. The commands of the first stage run here, but for `npm ci`.
 * @param folder an empty one
 */
export async function buildImage(docker: Dockerd['docker'], folder: string): Promise<string> {
  const dockerfile = await readFile(join(project, 'infra/image/Dockerfile'), 'utf8');
  const last = dockerfile.lastIndexOf('\nFROM ') + 1;
  const commands = [...dockerfile.slice(0, last).matchAll(/^RUN (?!npm ci)(.+)$/gm)].map(
    ([, line = '']) => line,
  );
  await Promise.all([importBase(docker, folder), importAssembled(docker, folder, commands)]);
  const stages = `FROM ${assembled} AS build\n${dockerfile.slice(last).replace(/^FROM \S+/, `FROM ${base}`)}`;
  const context = join(folder, 'empty');
  await mkdir(context);
  await writeFile(join(context, 'Dockerfile'), stages);
  const args = ['--build-arg', 'VERSION=1.2.3', '--build-arg', 'REVISION=0123abc'];
  await docker('build', '--tag', 'stowage', ...args, context);
  return 'stowage';
}

async function importBase(docker: Dockerd['docker'], folder: string): Promise<void> {
  const file = join(folder, 'base.tar');
  const release = /^VERSION_CODENAME=(\w+)/m.exec(await readFile('/etc/os-release', 'utf8'))?.[1] ?? 'stable';
  // Docker copies the base at each step of a build.
  const excluded = ['doc', 'man', 'locale', 'perl5', 'zoneinfo'].map(
    (name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`,
  );
  const options = ['--quiet', '--variant=extract', `--include=${packages.join(',')}`, ...excluded];
  await command('mmdebstrap', [...options, release, file, sources]);
  await docker('import', file, base);
}

/** Runs the commands that make /image, with no other files than docker would send. */
async function importAssembled(docker: Dockerd['docker'], folder: string, commands: readonly string[]) {
  const [context, root, file] = ['context', 'root', 'assembled.tar'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  await mkdir(context);
  for (const name of await sentToDocker())
    await cp(join(project, name), join(context, name), { recursive: true });
  await symlink(join(project, 'node_modules'), join(context, 'node_modules'));
  for (const line of commands)
    await command('sh', ['-ec', line.replace(/ \/image$/, ` ${root}/image`)], { cwd: context });
  await command('tar', ['--create', '--file', file, '--directory', root, 'image']);
  await docker('import', file, assembled);
}

/** What .dockerignore lets through. */
async function sentToDocker(): Promise<string[]> {
  const lines = (await readFile(join(project, '.dockerignore'), 'utf8')).split('\n');
  return lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
}
