import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
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
  readonly start: (place: Place) => Promise<Registry & { readonly pid: number }>;
}

/** Version 2.8, Debian's. */
export const distribution2: Distribution = {
  name: 'distribution',
  needs: 'docker-registry',
  start: async (place) => await start('docker-registry', place),
};

export const distribution3: Distribution = {
  name: 'distribution 3',
  needs: 'registry',
  start: async (place) => await start(goProgramPlace('registry').file, place),
};

/** Its images are in a folder or a bucket. Our settings of a store are distribution's, so it reads the same ones. */
async function start(program: string, place: Place): Promise<Registry & { readonly pid: number }> {
  const folder = await temporaryFolder('distribution');
  const address = `127.0.0.1:${await freePort()}`;
  const file = join(folder.path, 'config.yml');
  await writeFile(file, configuration(address));
  const ready = async () => await serves(address);
  // Version 3 tells another server of each request, unless told.
  const env = cleanEnvironment({ OTEL_TRACES_EXPORTER: 'none', ...placeSettings(place) });
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

/** Without a cache, so that it sees what another registry does to the same place. JSON is YAML. */
function configuration(address: string): string {
  return JSON.stringify({
    version: '0.1',
    log: { level: 'warn' },
    storage: { delete: { enabled: true }, maintenance: { uploadpurging: { enabled: false } } },
    http: { addr: address },
  });
}
