import { parseArgs } from 'node:util';
import { onlyOf } from '../conformance/command-line.ts';

export const clientNames = ['oras', 'crane', 'regctl', 'helm', 'cosign', 'buildkit', 'podman'] as const;
export type ClientName = (typeof clientNames)[number];

/** What `npm run test:clients` is asked to do. */
export interface Options {
  /** The clients to try; all of them when none is named. */
  readonly only: readonly ClientName[] | undefined;
}

export const usage = `Usage: npm run test:clients -- [--only ${clientNames.join('|')}]…

Builds clients written in Go, which needs Go 1.24 or newer, and tries them against npm run serve on a folder, and against
functions with a data plane at one address; all but cosign also log in to both. The first time this takes long; go keeps what
it has built. A client that cannot be built is left out, buildkit where root or runc is missing, for its daemon, and podman
where it is not installed or root is missing.

  --only name  tries this client only (repeatable)
  --help       prints this`;

/** Reads the command line. Throws an error that says what is wrong. */
export function readOptions(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', multiple: true },
      help: { type: 'boolean', default: false },
    },
  });
  return values.help ? 'help' : { only: values.only?.map((one) => onlyOf(clientNames, one)) };
}
