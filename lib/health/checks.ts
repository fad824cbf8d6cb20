import { once } from 'node:events';
// Not node:fs/promises, which functions would load at their start.
import { promises as fs } from 'node:fs';
import { connect } from 'node:net';
import type { CheckTimes, ExtraCheck, HealthConfig } from '../config/health.ts';
import type { ObjectLister } from '../storage/store.ts';

/** Something that must work for the registry to be ready. */
export interface Check extends CheckTimes {
  /** For everybody who may probe, so without addresses or paths. */
  readonly name: string;
  readonly timeoutMs: number;
  /** @throws what is wrong, for the log; it may be aborted after its timeout */
  readonly probe: (signal: AbortSignal) => Promise<void>;
}

/** Shorter than a load balancer waits, and longer than a busy bucket takes. */
const storageTimeoutMs = 5_000;

/** The checks of the settings. The storage is asked for one key, as at the start: a missing bucket must not look like an empty one. */
export function createChecks(
  { storage, extra }: HealthConfig,
  store: Pick<ObjectLister, 'list'>,
): readonly Check[] {
  const probe = async () => {
    await store.list({ limit: 1 });
  };
  const counts = { file: 0, http: 0, tcp: 0 };
  return [
    ...(storage === undefined ? [] : [{ name: 'storage', timeoutMs: storageTimeoutMs, probe, ...storage }]),
    ...extra.map((check) => extraCheck(check, `${check.kind} check ${++counts[check.kind]}`)),
  ];
}

function extraCheck(check: ExtraCheck, name: string): Check {
  const { intervalMs, threshold } = check;
  const common = { name, intervalMs, threshold };
  switch (check.kind) {
    case 'file':
      return {
        ...common,
        timeoutMs: storageTimeoutMs,
        probe: async () => {
          await assertAbsent(check.file);
        },
      };
    case 'http':
      return {
        ...common,
        timeoutMs: check.timeoutMs,
        probe: async (signal) => {
          await assertAnswers(check, signal);
        },
      };
    case 'tcp':
      return {
        ...common,
        timeoutMs: check.timeoutMs,
        probe: async (signal) => {
          await assertListens(check, signal);
        },
      };
  }
}

/** As in distribution, a file that exists says that the server is to get no requests. */
async function assertAbsent(file: string): Promise<void> {
  try {
    await fs.stat(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  throw new Error(`there is a file ${file}`);
}

async function assertAnswers(
  { uri, headers: lists, statusCode }: Extract<ExtraCheck, { kind: 'http' }>,
  signal: AbortSignal,
): Promise<void> {
  const headers = new Headers();
  for (const [name, values] of Object.entries(lists)) for (const value of values) headers.append(name, value);
  const { status } = await fetch(uri, { method: 'HEAD', headers, signal });
  // Its query may be a secret.
  const { origin, pathname } = new URL(uri);
  if (status !== statusCode) throw new Error(`${origin}${pathname} answered ${status}, not ${statusCode}`);
}

async function assertListens(
  { host, port }: Extract<ExtraCheck, { kind: 'tcp' }>,
  signal: AbortSignal,
): Promise<void> {
  const socket = connect({ host, port });
  try {
    await once(socket, 'connect', { signal });
  } finally {
    socket.destroy();
  }
}
