import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { goProgramPlace } from '../servers/go-programs.ts';
import { cleanEnvironment, command } from '../servers/process.ts';
import { programFile } from '../servers/programs.ts';
import { settingsOf, type Place } from './place.ts';

/** How to start a registry. */
export interface Program {
  readonly line: readonly [string, ...string[]];
  readonly env: NodeJS.ProcessEnv;
}

/** What a registry is started with. */
export interface Start {
  readonly place: Place;
  /** Host and port to listen at. */
  readonly address: string;
  /** A folder for its configuration. */
  readonly folder: string;
  /** Worker processes of this project's; its default unless given. */
  readonly workers?: number | undefined;
}

/** A registry that is measured. All have the same level of logs, no access control, and no redirects to the bucket. */
export interface Contender {
  /** With its version. */
  readonly name: string;
  readonly kind: 'here' | 'peer' | 'cached';
  /** The folder that a repository is in. */
  readonly repository: (name: string, place: Place) => string;
  readonly program: (start: Start) => Promise<Program>;
  /** The checkout, of ours. */
  readonly checkout?: string;
}

/** A registry that is not here, and why. */
export interface Missing {
  readonly name: string;
  readonly why: string;
}

const root = resolve(import.meta.dirname, '../..');

/** Of distribution, whose layout is ours. */
const repositoryOf: Contender['repository'] = (name, { folder }) =>
  join(folder, 'docker/registry/v2/repositories', name);

/** This checkout, bundled, and others that have been built. Throws where one has not. */
export function ours(others: readonly string[]): Contender[] {
  const built = others.map((folder) => {
    const file = join(resolve(folder), 'dist/stowage.mjs');
    if (!existsSync(file)) throw new Error(`--ours: there is no ${file}; run npm run build in that folder`);
    return oneOfOurs(basename(resolve(folder)), resolve(folder), file);
  });
  return [oneOfOurs('here', root, programFile('lib/commands/stowage.ts')), ...built];
}

function oneOfOurs(name: string, checkout: string, file: string): Contender {
  return {
    name,
    kind: 'here',
    checkout,
    repository: repositoryOf,
    program: async ({ place, address, workers }) => {
      const env = cleanEnvironment({
        ...settingsOf(place),
        REGISTRY_HTTP_ADDR: address,
        REGISTRY_AUTH: 'none',
        REGISTRY_LOG_LEVEL: 'warn',
        REGISTRY_STORAGE_REDIRECT_DISABLE: 'true',
        ...(workers !== undefined && { REGISTRY_HTTP_WORKERS: String(workers) }),
      });
      return await Promise.resolve({ line: [process.execPath, file, 'serve'], env });
    },
  };
}

/** The other registries that are here, and those that are not. */
export async function peers(zotProgram: string): Promise<readonly (Contender | Missing)[]> {
  const third = goProgramPlace('registry').file;
  const [two, three, zot] = await Promise.all([
    versionOf('docker-registry', ['--version']),
    versionOf(third, ['--version']),
    versionOf(zotProgram, ['--version']),
  ]);
  return [
    two === undefined
      ? { name: 'distribution 2', why: 'there is no docker-registry: npm run test:setup installs it' }
      : distribution(`distribution ${two}`.trim(), 'docker-registry', 'peer'),
    ...(three === undefined
      ? [{ name: 'distribution 3', why: 'it is not built: npm run test:setup does that where Go is' }]
      : [
          distribution(`distribution ${three}`, third, 'peer'),
          distribution(`distribution ${three}, cached`, third, 'cached'),
        ]),
    zot === undefined
      ? { name: 'zot', why: `there is no ${zotProgram}: install it, or name its file with --zot` }
      : zotContender(`zot ${zot}`.trim(), zotProgram),
  ];
}

/** The version that a program says it has, if any, or undefined where it cannot be run. */
async function versionOf(program: string, args: readonly string[]): Promise<string | undefined> {
  try {
    const { text, errors } = await command(program, args);
    // zot also names the version of the specification.
    const said = `${text}\n${errors}`.replace(/"distribution-spec":"[^"]*"/, '');
    return /\bv?(\d+\.\d+\.\d+)/.exec(said)?.[1] ?? '';
  } catch {
    return undefined;
  }
}

function distribution(name: string, file: string, kind: 'peer' | 'cached'): Contender {
  return {
    name,
    kind,
    repository: repositoryOf,
    program: async ({ place, address, folder }) => {
      const configuration = {
        version: '0.1',
        log: { level: 'warn', accesslog: { disabled: true } },
        storage: {
          delete: { enabled: true },
          redirect: { disable: true },
          maintenance: { uploadpurging: { enabled: false } },
          ...(kind === 'cached' && { cache: { blobdescriptor: 'inmemory' } }),
        },
        http: { addr: address },
      };
      const config = join(folder, `${name.replaceAll(/\W+/g, '-')}.yml`);
      await writeFile(config, JSON.stringify(configuration));
      const env = cleanEnvironment({
        // Version 3 reports each request to another server by default, and takes a bucket for a part of the host.
        OTEL_TRACES_EXPORTER: 'none',
        ...(place.bucket && { REGISTRY_STORAGE_S3_FORCEPATHSTYLE: 'true' }),
        ...settingsOf(place),
      });
      return { line: [file, 'serve', config], env };
    },
  };
}

function zotContender(name: string, file: string): Contender {
  return {
    name,
    kind: 'peer',
    repository: (repository, { folder, bucket }) =>
      join(folder, bucket === undefined ? '' : 'zot', repository),
    program: async ({ place, address, folder }) => {
      const [host = '', port = ''] = address.split(':');
      const configuration = {
        distSpecVersion: '1.1.1',
        storage:
          place.bucket === undefined ? { rootDirectory: place.folder } : zotBucket(place.bucket, folder),
        http: { address: host, port },
        log: { level: 'warn' },
      };
      const config = join(folder, 'zot.json');
      await writeFile(config, JSON.stringify(configuration));
      return { line: [file, 'serve', config], env: cleanEnvironment() };
    },
  };
}

/** Without deduplication, which needs a database beside a bucket. */
function zotBucket(bucket: NonNullable<Place['bucket']>, folder: string): object {
  return {
    rootDirectory: join(folder, 'zot'),
    dedupe: false,
    storageDriver: {
      name: 's3',
      rootdirectory: '/zot',
      region: bucket.region,
      regionendpoint: bucket.endpoint,
      bucket: bucket.name,
      accesskey: bucket.accessKey,
      secretkey: bucket.secretKey,
      forcepathstyle: true,
      secure: false,
      skipverify: true,
    },
  };
}
