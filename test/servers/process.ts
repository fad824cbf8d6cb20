import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { atExit, sleepSync } from './cleanup.ts';

/** How a process ended: by its own exit code, or by a signal. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A server that runs beside the tests. */
export interface Server {
  readonly pid: number;
  /** The last 64 KiB of what it wrote to its standard output and error. */
  output(): string;
  /** Sends SIGTERM, unless another signal is given, after ten seconds SIGKILL, and waits until it is gone. Stopping twice is fine. */
  stop(signal?: NodeJS.Signals): Promise<Exit>;
}

/** How to start a program. The environment is `cleanEnvironment()` unless given. */
export interface Launch {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
  /** Takes all it writes, while {@link Server.output} has only the end. */
  readonly logged?: (text: string) => void;
}

/** How to run a command. */
export interface CommandOptions extends Omit<Launch, 'logged'> {
  /** Its standard input; nothing is there to read unless given. */
  readonly input?: string;
}

/** What a finished command wrote. */
export interface Output {
  readonly bytes: Buffer;
  /** Standard output as text, without the blanks around it. */
  readonly text: string;
  readonly errors: string;
}

const OUTPUT_KEPT = 64 * 1024;
const READY_WITHIN_MS = 60_000;
const STOPPED_WITHIN_MS = 10_000;
const COMMAND_WITHIN_MS = 240_000;

/**
 * This process's environment without what would configure the programs under test from outside: distribution reads
 * every REGISTRY_* variable, and a child of a test file must not take itself for one.
 */
export function cleanEnvironment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const foreign = /^(REGISTRY_|SEARCH_|AWS_|DOCKER_|CONTAINERD_|NODE_TEST_CONTEXT$|PORT$)/;
  const kept = Object.entries(process.env).filter(([name]) => !foreign.test(name));
  return { ...Object.fromEntries(kept), ...more };
}

/**
 * Starts a server and waits until `ready` resolves to true; a rejection counts as not yet.
 * Rejects with the server's output when it ends before, or is not ready within a minute.
 */
export async function launch(
  program: string,
  args: readonly string[],
  ready: () => Promise<boolean>,
  options: Launch = {},
): Promise<Server> {
  const server = start(program, args, options);
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!(await answers(ready))) {
    if (server.ended()) await giveUp(program, server, 'ended before it was ready');
    if (Date.now() > deadline) await giveUp(program, server, `was not ready in ${READY_WITHIN_MS / 1000} s`);
    await delay(50);
  }
  // Another server may have answered at its address.
  if (server.ended()) await giveUp(program, server, 'ended as it started');
  return server;
}

async function giveUp(program: string, server: Server, why: string): Promise<never> {
  await server.stop();
  throw new Error(`${program} ${why}:\n${server.output()}`);
}

/** Runs a command to its end. Rejects with all it wrote when it fails or takes longer than four minutes. */
export async function command(
  program: string,
  args: readonly string[],
  { input = '', ...options }: CommandOptions = {},
): Promise<Output> {
  const settings = {
    env: cleanEnvironment(),
    ...options,
    encoding: 'buffer' as const,
    maxBuffer: 512 * 1024 * 1024,
    timeout: COMMAND_WITHIN_MS,
  };
  return await new Promise((resolve, reject) => {
    const child = execFile(program, args, settings, (error, bytes, errors) => {
      forget();
      const output = { bytes, text: bytes.toString().trim(), errors: errors.toString() };
      if (error) reject(new Error(failure(program, args, error, output)));
      else resolve(output);
    });
    const forget = atExit(() => {
      child.kill('SIGKILL');
    });
    // A command that does not read it may have ended before.
    child.stdin?.on('error', () => undefined).end(input);
  });
}

function failure(program: string, args: readonly string[], error: Error, output: Output): string {
  const why = 'code' in error && error.code === 'ENOENT' ? 'is not installed' : 'failed';
  return `${[program, ...args].join(' ')} ${why}:\n${output.errors}\n${output.text}`.trim();
}

function start(program: string, args: readonly string[], { logged, ...options }: Launch) {
  const child = spawn(program, args, {
    env: cleanEnvironment(),
    ...options,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = collect(child, logged);
  const gone = exitOf(child);
  const forget = atExit(() => {
    killSync(child);
  });
  void gone.then(forget);
  return {
    pid: child.pid ?? 0,
    output,
    ended: () => hasEnded(child),
    stop: async (signal: NodeJS.Signals = 'SIGTERM') => {
      child.kill(signal);
      const kill = setTimeout(() => child.kill('SIGKILL'), STOPPED_WITHIN_MS);
      const exit = await gone;
      clearTimeout(kill);
      return exit;
    },
  };
}

function collect(child: ChildProcess, logged: Launch['logged']): () => string {
  let kept = '';
  const keep = (text: unknown) => {
    logged?.(String(text));
    kept = (kept + String(text)).slice(-OUTPUT_KEPT);
  };
  child.stdout?.setEncoding('utf8').on('data', keep);
  child.stderr?.setEncoding('utf8').on('data', keep);
  child.on('error', keep);
  return () => kept;
}

async function exitOf(child: ChildProcess): Promise<Exit> {
  // A program that cannot be started has no exit event: `once` rejects with its error event, which `collect` keeps.
  await once(child, 'exit').catch(() => undefined);
  return { code: child.exitCode, signal: child.signalCode };
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

/** The same as `stop`, while this process exits. */
function killSync(child: ChildProcess): void {
  child.kill('SIGTERM');
  const deadline = Date.now() + STOPPED_WITHIN_MS;
  while (runs(child.pid) && Date.now() < deadline) sleepSync(20);
  child.kill('SIGKILL');
}

/** An ended child stays a zombie until the event loop turns again, so its mere existence says nothing. */
function runs(pid: number | undefined): boolean {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
    return !stat.slice(stat.lastIndexOf(')')).startsWith(') Z');
  } catch {
    return false;
  }
}

async function answers(ready: () => Promise<boolean>): Promise<boolean> {
  try {
    return await ready();
  } catch {
    return false;
  }
}
