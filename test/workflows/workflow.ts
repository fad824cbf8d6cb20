import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'yaml';

const folder = join(import.meta.dirname, '../../.github/workflows');

/** A step of a job, as far as tests look at it. */
export interface Step {
  readonly name?: string;
  readonly id?: string;
  readonly uses?: string;
  readonly with?: Readonly<Record<string, unknown>>;
  readonly run?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Job {
  readonly if?: string;
  /** Jobs that must have succeeded. */
  readonly needs?: string | readonly string[];
  /** A workflow that the job calls instead of steps of its own. */
  readonly uses?: string;
  readonly with?: Readonly<Record<string, string | boolean>>;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly secrets?: unknown;
  readonly 'timeout-minutes'?: number;
  readonly environment?: string | { readonly name: string };
  readonly env?: Readonly<Record<string, string>>;
  readonly steps?: readonly Step[];
}

export interface Workflow {
  /** `preview` of preview.yml. */
  readonly file: string;
  /** As it is written. */
  readonly text: string;
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions: unknown;
  readonly jobs: Readonly<Record<string, Job>>;
}

/** All workflows of GitHub Actions. */
export function readWorkflows(): Workflow[] {
  return globSync('*.yml', { cwd: folder }).map((file) => readWorkflow(basename(file, '.yml')));
}

/** @param file without its ending: `preview` */
export function readWorkflow(file: string): Workflow {
  const text = readFileSync(join(folder, `${file}.yml`), 'utf8');
  return { ...(parse(text) as Omit<Workflow, 'file' | 'text'>), file, text };
}

/** The steps of a job, or of the only one of the workflow that it calls. */
export function stepsOf(file: string, name: string): { readonly job: Job; readonly steps: readonly Step[] } {
  const job = readWorkflow(file).jobs[name];
  if (job === undefined) throw new Error(`${file}.yml has no job ${name}`);
  if (job.uses === undefined) return { job, steps: job.steps ?? [] };
  const [called = {}] = Object.values(readWorkflow(basename(job.uses, '.yml')).jobs);
  return { job: { ...called, with: job.with ?? {} }, steps: called.steps ?? [] };
}
