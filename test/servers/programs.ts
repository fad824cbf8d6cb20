import { join } from 'node:path';
import { build } from 'esbuild';
import { bundling } from '../../infra/bundling.ts';

const root = join(import.meta.dirname, '../..');

/** What tests start again and again as processes of their own, by where it is in this project. */
const programs = ['lib/commands/stowage.ts', 'test/servers/functions.ts'] as const;

/** Tells the processes of a run where the bundles are. */
const variable = 'STOWAGE_TEST_PROGRAMS';

/**
 * Bundles the programs into a folder for this process and those it starts, as `npm run build` does for what is deployed: a
 * bundle starts in less than half of the processor's time that its sources take, and a run starts many hundreds.
 */
export async function bundlePrograms(folder: string): Promise<void> {
  // A test of the runner has those of the run it is part of.
  if (process.env[variable] !== undefined) return;
  await build({
    ...bundling,
    entryPoints: [...programs],
    absWorkingDir: root,
    outbase: root,
    outdir: folder,
    splitting: true,
    logLevel: 'warning',
  });
  process.env[variable] = folder;
}

/** The file to run for a program: its bundle, or its source where a test file is run by itself. */
export function programFile(program: (typeof programs)[number]): string {
  const folder = process.env[variable];
  return folder === undefined ? join(root, program) : join(folder, program.replace(/\.ts$/, '.mjs'));
}
