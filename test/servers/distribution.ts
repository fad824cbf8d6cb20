import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';
import { freePort } from './ports.ts';
import { cleanEnvironment, launch } from './process.ts';
import { serves, type Registry } from './registry.ts';
import { placeSettings, type Place } from './stowage.ts';

/**
 * Starts the registry that everyone compares with (Debian's `docker-registry`), its images in a folder or a bucket. Our
 * settings of a store are distribution's, so it reads the same ones.
 */
export async function distribution(place: Place): Promise<Registry & { readonly pid: number }> {
  const folder = await temporaryFolder('distribution');
  const address = `127.0.0.1:${await freePort()}`;
  const file = join(folder.path, 'config.yml');
  await writeFile(file, configuration(address));
  const ready = async () => await serves(address);
  const env = cleanEnvironment(placeSettings(place));
  const server = await launch('docker-registry', ['serve', file], ready, { env });
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
