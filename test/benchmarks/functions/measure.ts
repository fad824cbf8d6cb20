import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { cleanEnvironment } from '../../servers/process.ts';

/** A function that is unpacked, and a request that it answers. */
export interface MeasuredFunction {
  readonly name: string;
  readonly folder: string;
  readonly settings: Readonly<Record<string, string>>;
  /** As API Gateway sends it. */
  readonly event: object;
  /** Of the answer. */
  readonly status: number;
}

/** What one process of a function took. */
export interface Costs {
  /** Milliseconds of the processor from the start of the process: Node itself, its module loaded, and the first answer. */
  readonly node: number;
  readonly loaded: number;
  readonly answered: number;
  /** Milliseconds by the clock until the first answer. */
  readonly elapsed: number;
  /** Milliseconds of the processor of a later request, where there were enough of them. */
  readonly warm?: number;
  /** MB of memory after the first answer. */
  readonly memory: number;
}

/** Later requests of which the last are measured. */
const measuredRequests = 100;

/**
 * Runs a function in a process of its own, as Lambda does: events and results are JSON.
 * @param requests after the first
 */
export async function measure(
  { name, folder, settings, event, status }: MeasuredFunction,
  requests: number,
): Promise<Costs> {
  const runtime = join(folder, 'runtime.mjs');
  await writeFile(runtime, program);
  const url = pathToFileURL(`${folder}/dist/functions/${name}.mjs`).href;
  const child = spawn(process.execPath, [runtime, url, JSON.stringify(event), String(requests)], {
    cwd: folder,
    env: cleanEnvironment(settings),
    stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
  });
  const [log = '', result = ''] = await Promise.all([
    ...[child.stdio[1], child.stdio[3]].map(async (stream) => await text(stream as Readable)),
  ]);
  const { answers, ...costs } = JSON.parse(result === '' ? '{}' : result) as Costs & {
    readonly answers?: readonly number[];
  };
  if (answers?.length !== 1 || answers[0] !== status)
    throw new Error(
      `${name} answered ${answers?.join(', ') ?? 'nothing'}, not ${status}:\n${log.slice(0, 2000)}`,
    );
  return costs;
}

/** The part of Lambda's runtime. In JavaScript: to strip types would take longer than what is measured. */
const program = `
import { writeSync } from 'node:fs';
const [, , url, event, requests] = process.argv;
const cpu = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};
const answers = new Set();
const invoke = async () => {
  const context = { awsRequestId: crypto.randomUUID(), getRemainingTimeInMillis: () => 29000 };
  const result = await handler(JSON.parse(event), context);
  JSON.stringify(result);
  answers.add(result.statusCode);
};
const node = cpu();
const { handler } = await import(url);
const loaded = cpu();
await invoke();
const [answered, elapsed] = [cpu(), performance.now()];
const memory = process.memoryUsage.rss() / 1e6;
for (let i = ${measuredRequests}; i < requests; i++) await invoke();
const before = cpu();
for (let i = 0; i < Math.min(requests, ${measuredRequests}); i++) await invoke();
const warm = requests < ${measuredRequests} ? undefined : (cpu() - before) / ${measuredRequests};
writeSync(3, JSON.stringify({ answers: [...answers], node, loaded, answered, elapsed, warm, memory }));
process.exit();
`;
