/** Workers that crash, hang, or start while the server stops. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { Client, send } from '../functions/client.ts';
import { readMetrics, sumOf } from '../metrics/text-format.ts';
import { temporaryFolder } from '../servers/folder.ts';
import { freePort } from '../servers/ports.ts';
import { serve, type Stowage } from '../servers/stowage.ts';
import { dial, head, pathOf, rest } from './raw-http.ts';
import { until, withWorkers, workersOf } from './running-workers.ts';

const folder = await temporaryFolder('worker-faults');

after(() => {
  folder.remove();
});

/** Makes the second worker run this code first. @returns the settings */
async function secondWorkerRuns(name: string, code: string): Promise<Record<string, string>> {
  const file = join(folder.path, `${name}.mjs`);
  await writeFile(file, `if (process.env.STOWAGE_WORKER === '1') ${code}\n`);
  return { NODE_OPTIONS: `--import=${file}` };
}

/** The statuses of twenty answers of `/readyz`, each on a connection of its own, so that all workers give some. */
async function readiness({ address }: Stowage): Promise<ReadonlySet<number>> {
  const statuses = new Set<number>();
  for (let i = 0; i < 20; i++)
    statuses.add((await send(`http://${address}`, { method: 'GET', path: '/readyz' }, false)).status);
  return statuses;
}

/** A registry that ends with its test, also where that fails. */
async function start(t: TestContext, place: string, env: Record<string, string>): Promise<Stowage> {
  const registry = await serve(join(folder.path, place), env);
  t.after(async () => {
    await registry.stop();
  });
  return registry;
}

const listensAt = 'The registry listens at';

describe('SIGTERM to a server with workers', { concurrency: true }, () => {
  it('also makes a worker unready that is still starting', async (t) => {
    const slow = await secondWorkerRuns('slow', 'await new Promise((resolve) => setTimeout(resolve, 1500));');
    const registry = await start(t, 'starting', { REGISTRY_HTTP_WORKERS: '2', ...slow });
    const stopped = registry.stop('SIGTERM');
    await until(() => registry.output().includes('Stopping:'));
    assert.ok(!registry.output().includes(listensAt), registry.output());
    await until(() => registry.output().includes(listensAt));
    assert.deepEqual(await readiness(registry), new Set([503]));
    await stopped;
  });

  it('ends a worker that hangs, after the drain timeout', async (t) => {
    const env = { REGISTRY_HTTP_WORKERS: '2', REGISTRY_HTTP_DRAINTIMEOUT: '100ms' };
    const registry = await start(t, 'hanging-stop', env);
    await until(() => registry.output().includes(listensAt));
    const [, hanging = 0] = workersOf(registry);
    process.kill(hanging, 'SIGSTOP');
    await registry.stop('SIGINT');
    assert.match(registry.output(), new RegExp(`Worker ${hanging} did not end in time and is killed`));
  });

  it('stops each worker once and lets its requests finish, also when all processes get it', async (t) => {
    const registry = await start(t, 'stopping', { REGISTRY_HTTP_WORKERS: '2' });
    await until(() => registry.output().includes(listensAt));
    const workers = workersOf(registry);
    const client = new Client(`http://${registry.address}`);
    const uploads = await Promise.all(
      workers.map(async (_, index) => {
        const location = await client.startUpload(`team/app-${index}`);
        const socket = await dial(client.base);
        socket.write(head('PATCH', pathOf(location), 'Content-Length: 8') + 'some');
        return { socket, answer: rest(socket) };
      }),
    );
    const stopped = registry.stop('SIGTERM');
    for (const pid of workers) process.kill(pid, 'SIGTERM');
    await until(() => registry.output().includes('Waiting for 2 requests'));
    for (const pid of workers) process.kill(pid, 'SIGTERM');
    for (const { socket } of uploads) socket.write('more');
    for (const { answer } of uploads) assert.match(await answer, /^HTTP\/1\.1 202 /);
    await stopped;
    assert.doesNotMatch(registry.output(), /ended unexpectedly|takes its place/);
  });
});

describe('a worker that crashes at every start', () => {
  it('is replaced after 1 s, 2 s and 4 s, while the other one serves', async (t) => {
    const crash = await secondWorkerRuns('crash', 'process.exit(3);');
    const registry = await start(t, 'crash', { REGISTRY_HTTP_WORKERS: '2', ...crash });
    const times: number[] = [];
    for (const seconds of [1, 2, 4]) {
      const line = `A worker ended unexpectedly (exit code 3); another one takes its place in ${seconds} s.`;
      await until(() => registry.output().includes(line));
      times.push(performance.now());
    }
    const [first = 0, second = 0, third = 0] = times;
    // What is polled may be seen late, by as much as a busy machine takes.
    assert.ok(third - second > 1_500 && third - first > 2_500, times.join());
    await new Client(`http://${registry.address}`).must(200, { method: 'GET', path: '/v2/' });
    await registry.stop();
  });
});

/** Counters, and the lines of histograms, by name and labels. */
function counts(text: string): ReadonlyMap<string, number> {
  const counted = new Set(
    text.matchAll(/^# TYPE (\w+) (?:counter|histogram)$/gm).map(([, name = '']) => name),
  );
  const lines = readMetrics(text).filter(
    ({ name }) => counted.has(name) || counted.has(name.replace(/_(bucket|count|sum)$/, '')),
  );
  return new Map(lines.map(({ name, labels, value }) => [name + JSON.stringify(labels), value]));
}

function assertNoneFell(before: string, now: string): void {
  const later = counts(now);
  const fallen = [...counts(before)].filter(([key, value]) => !((later.get(key) ?? 0) >= value));
  assert.deepEqual(fallen, []);
  assert.ok(later.size > 100, String(later.size));
}

const requests = (text: string, more = '') =>
  sumOf(readMetrics(text), `registry_http_request${more}`, { handler: 'catalog' });

describe('metrics of workers', () => {
  async function measured(
    place: string,
    work: (registry: Stowage, debug: string, scrape: () => Promise<string>) => Promise<void>,
  ): Promise<void> {
    const debug = `127.0.0.1:${await freePort()}`;
    // Three times the second that a worker has to answer.
    const scrape = async () => {
      const response = await fetch(`http://${debug}/metrics`, { signal: AbortSignal.timeout(3_000) });
      assert.equal(response.status, 200);
      return await response.text();
    };
    const settings = { REGISTRY_HTTP_DEBUG_ADDR: debug };
    await withWorkers(join(folder.path, place), 2, settings, async (registry) => {
      await work(registry, debug, scrape);
    });
  }

  const list = async ({ address }: Stowage, times: number) => {
    for (let i = 0; i < times; i++)
      await send(`http://${address}`, { method: 'GET', path: '/v2/_catalog' }, false);
  };

  it('go on without a fall when one is killed and replaced', async () => {
    await measured('killed', async (registry, _, scrape) => {
      await list(registry, 20);
      const before = await scrape();
      assert.equal(requests(before, 's_total'), 20);
      const [first = 0, second = 0] = workersOf(registry);
      for (const pid of [first, second]) {
        const last = await scrape();
        process.kill(pid, 'SIGKILL');
        const atOnce = await scrape();
        assertNoneFell(last, atOnce);
        await until(() => !workersOf(registry).includes(pid));
        const after = await scrape();
        assertNoneFell(atOnce, after);
        await until(() => workersOf(registry).length === 2);
        assertNoneFell(after, await scrape());
      }
      await list(registry, 10);
      const now = await scrape();
      assert.deepEqual([requests(now, 's_total'), requests(now, '_duration_seconds_count')], [30, 30]);
    });
  });

  it('count a hanging one as it was, and the debug server names it as unready', async () => {
    await measured('hanging', async (registry, debug, scrape) => {
      const health = async () => {
        const response = await fetch(`http://${debug}/debug/health`);
        return `${response.status} ${(await response.text()).trim()}`;
      };
      await list(registry, 20);
      const before = await scrape();
      const [, hanging = 0] = workersOf(registry);
      process.kill(hanging, 'SIGSTOP');
      try {
        for (let i = 0; i < 2; i++) {
          const during = await scrape();
          assertNoneFell(before, during);
          assert.equal(requests(during, 's_total'), 20);
        }
        assert.equal(await health(), `503 {"worker ${hanging}":"unready"}`);
      } finally {
        process.kill(hanging, 'SIGCONT');
      }
      await until(async () => (await health()) === '200 {}');
      await list(registry, 10);
      assert.equal(requests(await scrape(), 's_total'), 30);
    });
  });
});

describe('limits of a server with workers', () => {
  it('are those of one with a single process, all workers together', async (t) => {
    const capacities = async (count: number) => {
      const debug = `127.0.0.1:${await freePort()}`;
      const env = { REGISTRY_HTTP_WORKERS: String(count), REGISTRY_HTTP_DEBUG_ADDR: debug };
      const registry = await start(t, `limits-${count}`, env);
      await until(() => registry.output().includes(listensAt));
      const lines = readMetrics(await (await fetch(`http://${debug}/metrics`)).text());
      await registry.stop();
      const gauges = lines.filter(({ name }) => name === 'stowage_limit_capacity');
      return Object.fromEntries(gauges.map(({ labels, value }) => [String(labels['limit']), value] as const));
    };
    const single = await capacities(1);
    assert.ok(Object.keys(single).length >= 6, JSON.stringify(single));
    assert.deepEqual(await capacities(2), single);
  });
});
