import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { caddyfile, type CaddySite } from '../../infra/stack/data-plane/caddyfile.ts';
import { temporaryFolder } from './folder.ts';
import type { Pair } from './openssl.ts';
import { cleanEnvironment, launch, type Server } from './process.ts';

/**
 * Starts Caddy as the deployed instance has it, with a certificate of a test instead of one by ACME.
 * @param site its address is a URL
 */
export async function caddy(site: CaddySite, { certificate, key }: Pair): Promise<Server> {
  const folder = await temporaryFolder('caddy');
  const file = join(folder.path, 'Caddyfile');
  const globalOptions = ['auto_https disable_redirects'];
  await writeFile(file, caddyfile({ ...site, globalOptions, siteOptions: [`tls ${certificate} ${key}`] }));
  const listens = async () => {
    const socket = connect(Number(new URL(site.address).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.destroy();
    return true;
  };
  const env = cleanEnvironment({
    HOME: folder.path,
    XDG_DATA_HOME: folder.path,
    XDG_CONFIG_HOME: folder.path,
  });
  const server = await launch('caddy', ['run', '--adapter', 'caddyfile', '--config', file], listens, { env });
  return {
    ...server,
    stop: async (signal) => {
      const exit = await server.stop(signal);
      folder.remove();
      return exit;
    },
  };
}
