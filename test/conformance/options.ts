import { parseArgs } from 'node:util';
import { onlyOf } from './command-line.ts';
import { registryNames, type RegistryName } from './registries.ts';

/** What `npm run conformance` is asked to do. */
export interface Options {
  /** The registries to run against; all of them when none is named. */
  readonly only: readonly RegistryName[] | undefined;
  /** Whether the results go into docs/conformance.md, and are not just compared with it. */
  readonly write: boolean;
}

export const usage = `Usage: npm run conformance -- [--only ${registryNames.join('|')}]… [--write]

Runs the official OCI distribution conformance suite, versions 1.1 and dev, against npm run serve on a folder,
on Swift's S3 API and on the SCS of the tests, and against npm start. The results must be those in docs/conformance.md.

  --only name  runs against this registry only (repeatable), and leaves docs/conformance.md alone
  --write      puts the results into docs/conformance.md
  --help       prints this`;

/** Reads the command line. Throws an error that says what is wrong. */
export function readOptions(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', multiple: true },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  if (values.write && values.only)
    throw new Error('--write is for the results of all registries, without --only');
  return { only: values.only?.map((one) => onlyOf(registryNames, one)), write: values.write };
}
