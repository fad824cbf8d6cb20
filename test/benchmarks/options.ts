import { parseArgs } from 'node:util';

/** What `npm run bench` is asked to do. */
export interface Options {
  /** Fewer rows and rounds, smaller blobs, shorter measurements. */
  readonly quick: boolean;
  /** The rows whose name matches; all when undefined. */
  readonly rows: RegExp | undefined;
  /** How often each row is measured; what is usual when undefined. */
  readonly rounds: number | undefined;
  /** The file that the results go into. */
  readonly json: string | undefined;
  /** The file with the results of an earlier run. */
  readonly compare: string | undefined;
  /** Other checkouts of this project, built, that are measured beside this one. */
  readonly ours: readonly string[];
  /** The program of zot. */
  readonly zot: string;
  /** Whether the table goes into docs/performance.md. */
  readonly write: boolean;
  /** Whether the rows are printed, and none is measured. */
  readonly list: boolean;
}

export const usage = `Usage: npm run bench -- [--quick] [--rows pattern] [--rounds n] [--json file] [--compare file] [--ours folder]…
                    [--zot file] [--write] [--list]

Measures this registry beside distribution 2 (Debian's docker-registry), distribution 3 and zot, on a folder and on S3. It
takes an hour, and the first time half an hour more to build what is in Go. Each row is measured by turns.

  --quick         takes five minutes: fewer rows, smaller blobs
  --rows pattern  measures only the rows whose name matches this regular expression
  --rounds n      measures each row n times (3); the median counts
  --json file     writes the results to this file
  --compare file  shows the ratios of an earlier run beside these
  --ours folder   measures another checkout, after npm run build in it, as well (repeatable)
  --zot file      the program of zot, unless it is on the PATH
  --write         puts the table into docs/performance.md
  --list          prints the rows
  --help          prints this`;

/** Reads the command line. Throws an error that says what is wrong. */
export function readOptions(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      rows: { type: 'string' },
      rounds: { type: 'string' },
      json: { type: 'string' },
      compare: { type: 'string' },
      ours: { type: 'string', multiple: true, default: [] },
      zot: { type: 'string', default: 'zot' },
      write: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const { help, ...others } = values;
  if (help) return 'help';
  return {
    ...others,
    rows: values.rows === undefined ? undefined : patternOf(values.rows),
    rounds: values.rounds === undefined ? undefined : roundsOf(values.rounds),
    json: values.json,
    compare: values.compare,
  };
}

function patternOf(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new Error(`--rows: ${JSON.stringify(text)} is no regular expression`);
  }
}

function roundsOf(text: string): number {
  if (!/^[1-9]\d?$/.test(text))
    throw new Error(`--rounds: ${JSON.stringify(text)} is no number from 1 to 99`);
  return Number(text);
}
