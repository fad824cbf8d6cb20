import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { parentPort, Worker, workerData } from 'node:worker_threads';
import { tally } from './lines.ts';

export interface Flood {
  /** Wrong logins a second. */
  readonly rate: number;
  readonly seconds: number;
  /** Addresses of this machine that they come from, of 127.0.1.0/24, which Linux has all of; or none for the usual one. */
  readonly addresses: number;
}

/** What became of a flood of wrong logins. */
export interface Flooded {
  /** How often each status came. */
  readonly wrong: Readonly<Record<string, number>>;
  /** The same of the user who had logged in before. */
  readonly user: Readonly<Record<string, number>>;
  /** Milliseconds that requests of the user took. */
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
}

/** A user who can log in. */
export interface User {
  readonly name: string;
  readonly password: string;
}

/** What the thread is given that sends the wrong logins. */
interface Guesses extends Flood {
  readonly url: string;
  readonly user: string;
}

/**
 * Sends wrong logins, half of them as this user, whose own requests go on meanwhile, 50 a second. They come from a thread of
 * their own, so that they do not wait for one another in this process.
 */
export async function flood(url: string, { name, password }: User, options: Flood): Promise<Flooded> {
  const agent = new Agent({ keepAlive: true });
  const own = { url, agent, auth: `${name}:${password}` };
  await get(own);
  const guesses: Guesses = { ...options, url, user: name };
  const thread = new Worker(new URL(import.meta.url), { workerData: { guesses } });
  const wrong = once(thread, 'message') as Promise<[string[]]>;
  const [answers, times]: [string[], number[]] = [[], []];
  for (const end = performance.now() + options.seconds * 1000; performance.now() < end;) {
    const start = performance.now();
    answers.push(await get(own));
    times.push(performance.now() - start);
    await delay(Math.max(0, start + 20 - performance.now()));
  }
  agent.destroy();
  times.sort((a, b) => a - b);
  const quantile = (part: number) => times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0;
  const [statuses] = await wrong;
  return {
    wrong: tally(statuses),
    user: tally(answers),
    p50: quantile(0.5),
    p99: quantile(0.99),
    most: quantile(1),
  };
}

const { guesses } = (workerData ?? {}) as { readonly guesses?: Guesses };
if (guesses !== undefined) {
  const statuses = await sendGuesses(guesses);
  parentPort?.postMessage(statuses);
}

async function sendGuesses({ url, user, rate, seconds, addresses }: Guesses): Promise<string[]> {
  const agents = Array.from({ length: Math.max(1, addresses) }, (_, i) =>
    agentAt(addresses === 0 ? undefined : `127.0.1.${i + 1}`),
  );
  const sent: Promise<string>[] = [];
  const end = performance.now() + seconds * 1000;
  for (let last = performance.now(); performance.now() < end;) {
    await delay(5);
    // Where this process had to wait for the processor, it does not make up for that by a burst.
    const due = Math.min(50, ((performance.now() - last) * rate) / 1000);
    last = performance.now();
    for (let i = 0; i < due; i++) {
      const name = sent.length % 2 === 0 ? user : `user ${sent.length}`;
      const agent = agents[sent.length % agents.length];
      sent.push(get({ url, agent, auth: `${name}:wrong ${sent.length}` }));
    }
  }
  const statuses = await Promise.all(sent);
  for (const agent of agents) agent.destroy();
  return statuses;
}

function agentAt(localAddress: string | undefined): Agent {
  return new Agent({ keepAlive: true, maxSockets: 200, ...(localAddress !== undefined && { localAddress }) });
}

interface Get {
  readonly url: string;
  readonly agent: Agent | undefined;
  readonly auth: string;
}

/** @returns the status, or the code of what failed */
async function get({ url, agent, auth }: Get): Promise<string> {
  return await new Promise((resolve) => {
    const got = request(url, { auth, ...(agent && { agent }) }, (response) => {
      response.resume().once('end', () => {
        resolve(String(response.statusCode));
      });
    });
    got.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? error.message);
    });
    got.end();
  });
}
