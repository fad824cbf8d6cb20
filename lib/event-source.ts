import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Program } from './config/config.ts';
import type { ListenAddress } from './config/listen.ts';
import type { Source } from './registry/outbox/intent.ts';

/** A UUID of this process. */
const instance = randomUUID();

/** What events tell about this process: what distribution calls `source.addr`, host and port, or the name of a function. */
export function sourceOf(program: Program, listens: ListenAddress): Source {
  // eslint-disable-next-line no-restricted-syntax -- set by Lambda, and no setting
  const functionName = process.env['AWS_LAMBDA_FUNCTION_NAME'] ?? '';
  if (functionName !== '') return { address: functionName, instance };
  const isServer = program === 'server' || program === 'data-plane';
  const address = isServer && 'port' in listens ? `${hostname()}:${listens.port}` : hostname();
  return { address, instance };
}
