import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../servers/folder.ts';
import { cleanEnvironment } from '../servers/process.ts';
import { stepsOf } from './workflow.ts';

const root = join(import.meta.dirname, '../..');

export interface RunJobOptions {
  /** What expressions such as `github.event.number`, `vars.AWS_REGION` and `secrets.X` mean. Others are empty. */
  readonly context: Readonly<Record<string, string>>;
  /** The environment of all steps, such as credentials of AWS. */
  readonly env: Readonly<Record<string, string>>;
  /** Names of steps with commands that are not run. */
  readonly without?: readonly string[];
  /** Variables of a step by its name, in place of those of the workflow. */
  readonly replaced?: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** A step that has run. */
export interface StepResult {
  readonly name: string;
  readonly code: number;
  /** Standard output and error. */
  readonly output: string;
  /** What it wrote to GITHUB_OUTPUT. */
  readonly outputs: Readonly<Record<string, string>>;
}

/**
 * Runs the commands of a job of a workflow one after the other, as GitHub does, up to one that fails. Actions of others, such as
 * checkout, are left out.
 *
 *     await runJob('preview', 'deploy', { context: { 'github.event.number': '7' }, env: emulator.env });
 */
export async function runJob(file: string, name: string, options: RunJobOptions): Promise<StepResult[]> {
  const { job, steps } = stepsOf(file, name);
  const folder = await temporaryFolder('job');
  const context: Record<string, string> = { ...options.context };
  for (const [input, value] of Object.entries(job.with ?? {}))
    context[`inputs.${input}`] = resolve(String(value), context);
  const results: StepResult[] = [];
  for (const { name: step = '', id, run, env = {} } of steps) {
    if (run === undefined || options.without?.includes(step) === true) continue;
    const outputFile = join(folder.path, `output-${results.length}`);
    writeFileSync(outputFile, '');
    const variables = { ...resolveAll({ ...job.env, ...env }, context), ...options.replaced?.[step] };
    const ended = await bash(run, {
      ...options.env,
      ...variables,
      RUNNER_TEMP: folder.path,
      GITHUB_OUTPUT: outputFile,
    });
    const outputs = readOutputs(outputFile);
    for (const [output, value] of Object.entries(outputs)) context[`steps.${id}.outputs.${output}`] = value;
    results.push({ name: step, ...ended, outputs });
    if (ended.code !== 0) break;
  }
  folder.remove();
  return results;
}

/** As GitHub runs a step on Linux where the shell is named; without, it lacks pipefail. */
async function bash(script: string, env: NodeJS.ProcessEnv): Promise<{ code: number; output: string }> {
  const child = spawn('bash', ['--noprofile', '--norc', '-eo', 'pipefail', '-c', script], {
    cwd: root,
    env: cleanEnvironment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code: code ?? 1, output };
}

function resolveAll(
  values: Readonly<Record<string, string>>,
  context: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, resolve(value, context)]));
}

/** Knows the expressions that the workflows have: a name, `NAME && VALUE || VALUE`, and `NAME == 'text' && VALUE || VALUE`. */
function resolve(text: string, context: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\{\{ *(.+?) *\}\}/g, (_, expression: string) => {
    const [, name = '', operator, wanted, yes, no = ''] =
      /^([\w.-]+)(?: ([!=]=) '([^']*)')? && (\S+) \|\| (\S+)$/.exec(expression) ?? [];
    if (yes === undefined) return valueOf(expression, context);
    const value = context[name] ?? '';
    const holds =
      operator === undefined ? !['', 'false'].includes(value) : (value === wanted) === (operator === '==');
    return valueOf(holds ? yes : no, context);
  });
}

function valueOf(term: string, context: Readonly<Record<string, string>>): string {
  if (term.startsWith("'")) return term.slice(1, -1);
  if (!/^[\w.-]+$/.test(term)) throw new Error(`an expression that tests do not know: ${term}`);
  return context[term] ?? '';
}

/** Lines `name=value`. */
function readOutputs(file: string): Record<string, string> {
  const lines = readFileSync(file, 'utf8').split('\n');
  return Object.fromEntries(
    lines.flatMap((line) => {
      const [, name = '', value = ''] = /^([\w-]+)=(.*)$/.exec(line) ?? [];
      return name === '' ? [] : [[name, value]];
    }),
  );
}
