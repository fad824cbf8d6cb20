import { once } from 'node:events';
import { request as requestPlain, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as requestTls } from 'node:https';
import { loadConfigFile } from '../config/file/load.ts';
import { readListen, type ListenAddress, type ListenConfig } from '../config/listen.ts';
import { Settings } from '../config/settings.ts';
import { readOptions, UsageError, type Command } from './command.ts';

const livez = '/livez';

/** Below the timeout of the image's health check, so that the reason is in its log. */
const timeoutMs = 4000;

export const command: Command = {
  summary: 'check that a server answers, for the health checks of containers',
  usage: `Usage: stowage health [PATH]

Asks the server that has these settings, on this machine, for PATH (/livez). Exits with 0 if it answers 200, and with 1
otherwise.`,
  run: async (args) => {
    const { positionals } = readOptions(args, {});
    const [path = livez, more] = positionals;
    if (more !== undefined || !path.startsWith('/'))
      throw new UsageError('health takes one path, such as /readyz');
    const { environment } = await loadConfigFile('maintenance', undefined);
    const answer = await ask(readListen(new Settings(environment), true), path);
    console.log(`${path}: ${answer}`);
    return answer === 200 || (answer === unidentified && path === livez) ? 0 : 1;
  },
};

/** @returns the status of the response, or why there is none although the server lives */
async function ask({ address, tls }: ListenConfig, path: string): Promise<number | string> {
  const options = {
    ...placeOf(address),
    path,
    agent: false,
    signal: AbortSignal.timeout(timeoutMs),
  } satisfies RequestOptions;
  // Its certificate has the name that clients use.
  const asked =
    tls === undefined ? requestPlain(options) : requestTls({ ...options, rejectUnauthorized: false });
  try {
    const [response] = (await once(asked.end(), 'response')) as [IncomingMessage];
    response.destroy();
    return response.statusCode ?? 0;
  } catch (error) {
    if (tls?.clientCertificates === 'required' && isAlert(error)) return unidentified;
    throw error;
  }
}

/** A sign of life all the same. */
const unidentified = 'the server demands a client certificate';

/** Whether the server has ended a TLS handshake. */
function isAlert(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^ERR_SSL_.*ALERT/.test(String(error.code));
}

function placeOf(address: ListenAddress): RequestOptions {
  if ('path' in address) return { socketPath: address.path };
  const { host, port } = address;
  return { host: host === '::' || host === '0.0.0.0' ? '127.0.0.1' : host, port };
}
