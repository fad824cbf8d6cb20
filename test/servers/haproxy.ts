import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';
import { freePort } from './ports.ts';
import { launch } from './process.ts';

/** HAProxy before several registries. */
export interface Haproxy {
  /** Host and port. */
  readonly address: string;
  stop(): Promise<void>;
}

/**
 * Starts HAProxy, which probes `/readyz` of each upstream every 500 ms. It does not retry requests, so that each one that an
 * upstream does not take fails.
 * @param upstreams addresses, as `127.0.0.1:5000`
 */
export async function haproxy(upstreams: readonly string[]): Promise<Haproxy> {
  const [folder, port] = [await temporaryFolder('haproxy'), await freePort()];
  const address = `127.0.0.1:${port}`;
  const file = join(folder.path, 'haproxy.cfg');
  await writeFile(file, configuration(address, upstreams));
  const ready = async () => (await fetch(`http://${address}/readyz`)).ok;
  const server = await launch('haproxy', ['-db', '-f', file], ready);
  return {
    address,
    stop: async () => {
      await server.stop();
      folder.remove();
    },
  };
}

function configuration(address: string, upstreams: readonly string[]): string {
  return `
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  retries 0
  option forwardfor
frontend clients
  bind ${address}
  default_backend registries
backend registries
  balance roundrobin
  option httpchk GET /readyz
  http-check expect status 200
  default-server check inter 500ms fall 1 rise 1
${upstreams.map((upstream, i) => `  server registry${i} ${upstream}`).join('\n')}
`;
}
