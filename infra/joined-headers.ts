/*
 * For serverless-offline, loaded before it: of several lines of one header it passes on the last, where API Gateway joins them
 * with commas. Clients send `Accept` so, a line for each type of manifest.
 */
import { Server, type IncomingMessage } from 'node:http';

// eslint-disable-next-line @typescript-eslint/unbound-method -- it is called with its server below
const { emit } = Server.prototype;

Server.prototype.emit = function (this: Server, event: string, ...args: unknown[]): boolean {
  if (event === 'request') joinLines((args[0] as IncomingMessage).rawHeaders);
  return Reflect.apply(emit, this, [event, ...args]) as boolean;
};

/** @param raw names and values by turns, changed in place: each name once, where it first stood */
function joinLines(raw: string[]): void {
  const lines = new Map<string, [name: string, value: string]>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name = '', value = ''] = raw.slice(i, i + 2);
    const line = lines.get(name.toLowerCase());
    if (line === undefined) lines.set(name.toLowerCase(), [name, value]);
    // RFC 6265 has a separator of its own.
    else line[1] += `${name.toLowerCase() === 'cookie' ? '; ' : ', '}${value}`;
  }
  raw.splice(0, raw.length, ...[...lines.values()].flat());
}
