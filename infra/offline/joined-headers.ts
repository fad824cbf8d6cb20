/*
 * Preloaded for serverless-offline, which keeps only the last of repeated headers. API Gateway joins them with commas.
 * Clients send `Accept` that way, one line per manifest type.
 */
import { Server, type IncomingMessage } from 'node:http';

// eslint-disable-next-line @typescript-eslint/unbound-method -- called with its server below
const { emit } = Server.prototype;

Server.prototype.emit = function (this: Server, event: string, ...args: unknown[]): boolean {
  if (event === 'request') joinLines((args[0] as IncomingMessage).rawHeaders);
  return Reflect.apply(emit, this, [event, ...args]) as boolean;
};

/** @param raw alternating names and values, changed in place: repeated names are merged into the first */
function joinLines(raw: string[]): void {
  const lines = new Map<string, [name: string, value: string]>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name = '', value = ''] = raw.slice(i, i + 2);
    const line = lines.get(name.toLowerCase());
    if (line === undefined) lines.set(name.toLowerCase(), [name, value]);
    // Cookies have a separator of their own (RFC 6265).
    else line[1] += `${name.toLowerCase() === 'cookie' ? '; ' : ', '}${value}`;
  }
  raw.splice(0, raw.length, ...[...lines.values()].flat());
}
