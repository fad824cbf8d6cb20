import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { temporaryFolder } from './folder.ts';
import { goProgramPlace } from './go-programs.ts';
import { freePort } from './ports.ts';
import { cleanEnvironment, launch } from './process.ts';
import { serves, type Registry } from './registry.ts';
import type { ServerName } from './requires.ts';
import { placeSettings, type Place } from './stowage.ts';

/** A version of the registry that everyone compares with. */
export interface Distribution {
  readonly name: string;
  /** What must be installed. */
  readonly needs: ServerName;
  readonly start: (
    place: Place,
    options?: DistributionOptions,
  ) => Promise<Registry & { readonly pid: number }>;
  /** Removes the blobs that no manifest needs. @returns what it said */
  readonly collectGarbage: (place: Place) => Promise<string>;
}

export interface DistributionOptions {
  /** Whether it remembers which blobs a repository has. Default: false, so that it sees what another registry does to the same place. */
  readonly remembers?: boolean;
  /** Whether version 3 looks for the manifests that an index names. Default: true. */
  readonly validates?: boolean;
  /** A webhook that is told of events. */
  readonly webhook?: string;
}

/** Version 2.8, Debian's. */
export const distribution2: Distribution = {
  name: 'distribution',
  needs: 'docker-registry',
  start: async (place, options) => await start('docker-registry', place, options),
  collectGarbage: async (place) => await collectGarbage('docker-registry', place),
};

export const distribution3: Distribution = {
  name: 'distribution 3',
  needs: 'registry',
  start: async (place, options) => await start(goProgramPlace('registry').file, place, options),
  collectGarbage: async (place) => await collectGarbage(goProgramPlace('registry').file, place),
};

/** Its images are in a folder or a bucket. Our settings of a store are distribution's, so it reads the same ones. */
async function start(
  program: string,
  place: Place,
  options?: DistributionOptions,
): Promise<Registry & { readonly pid: number }> {
  const folder = await temporaryFolder('distribution');
  const address = `127.0.0.1:${await freePort()}`;
  const file = join(folder.path, 'config.yml');
  await writeFile(file, configuration(address, options));
  const ready = async () => await serves(address);
  const env = environment(place);
  const server = await launch(program, ['serve', file], ready, { env });
  return {
    address,
    pid: server.pid,
    stop: async () => {
      await server.stop();
      folder.remove();
    },
  };
}

async function collectGarbage(program: string, place: Place): Promise<string> {
  const folder = await temporaryFolder('distribution');
  try {
    const file = join(folder.path, 'config.yml');
    await writeFile(file, configuration('127.0.0.1:0'));
    const run = promisify(execFile);
    const { stdout, stderr } = await run(program, ['garbage-collect', file], { env: environment(place) });
    return stdout + stderr;
  } finally {
    folder.remove();
  }
}

/** Version 3 reports each request to another server by default. */
function environment(place: Place): NodeJS.ProcessEnv {
  return cleanEnvironment({ OTEL_TRACES_EXPORTER: 'none', ...placeSettings(place) });
}

/** JSON is YAML. */
function configuration(
  address: string,
  { remembers = false, validates = true, webhook }: DistributionOptions = {},
): string {
  return JSON.stringify({
    version: '0.1',
    log: { level: 'warn' },
    storage: {
      delete: { enabled: true },
      maintenance: { uploadpurging: { enabled: false } },
      ...(remembers && { cache: { blobdescriptor: 'inmemory' } }),
    },
    http: { addr: address },
    ...(!validates && { validation: { disabled: true } }),
    ...(webhook !== undefined && {
      notifications: {
        events: { includereferences: true },
        endpoints: [{ name: 'test', url: webhook, timeout: '5s' }],
      },
    }),
  });
}
