import { join } from 'node:path';

/** Servers that no Debian package has, in Go: the package of each program, with the version of its module. */
export const goPrograms = {
  versitygw: 'github.com/versity/versitygw/cmd/versitygw@v1.7.0',
  minio: 'github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c',
  // The first of Debian's is older: version 2.8.
  registry: 'github.com/distribution/distribution/v3/cmd/registry@v3.1.1',
} as const satisfies Record<string, string>;

export type GoProgram = keyof typeof goPrograms;

/** Goes with the packages of npm. */
const cache = join(import.meta.dirname, '../../node_modules/.cache/stowage-servers');

/** Where `npm run test:setup` builds this version of a program: the folder, and the file in it. */
export function goProgramPlace(name: GoProgram): { readonly folder: string; readonly file: string } {
  const version = /@(?<version>.+)$/.exec(goPrograms[name])?.groups?.['version'] ?? '';
  const folder = join(cache, `${name}-${version}`);
  return { folder, file: join(folder, name) };
}
