import cluster, { type Worker } from 'node:cluster';
import { AggregatorRegistry, type Registry } from 'prom-client';
import { Questions } from '../server/workers/questions.ts';

/** Less than the timeout of any scraper. */
const answerTimeoutMs = 1_000;

/** What the primary process sends to a worker. */
const question = { metrics: 'send' } as const;

/** The values of all metrics of a worker at one time. */
type Snapshot = Awaited<ReturnType<Registry['getMetricsAsJSON']>>;

/** What a worker sends to the primary process. */
interface Answer {
  readonly metrics: Snapshot;
}

/** Lets the primary process of a cluster ask this worker for its metrics. It is told by a first snapshot. */
export function shareWithPrimary(registry: Registry): void {
  const send = async () => {
    const answer: Answer = { metrics: await registry.getMetricsAsJSON() };
    process.send?.(answer);
  };
  process.on('message', (message: object) => {
    if ('metrics' in message) void send();
  });
  void send();
}

/**
 * In the primary process of a cluster, before it starts workers: the sums of the metrics of its workers. What one that ended has
 * counted stays in the sums, since counters must not fall. One that does not answer in a second counts with its last snapshot.
 */
export function metricsOfWorkers(): () => Promise<string> {
  const sums = new Sums();
  return async () => await sums.text();
}

class Sums {
  /** The last snapshot of each worker that runs. */
  readonly #last = new Map<Worker, Snapshot>();
  readonly #questions = new Questions<undefined>(question);
  /** Counters and histograms of workers that have ended. */
  #ended: Promise<Snapshot> = Promise.resolve([]);

  constructor() {
    cluster.on('message', (worker: Worker, message: object) => {
      if (!isAnswer(message) || worker.isDead()) return;
      this.#last.set(worker, message.metrics);
      this.#questions.answered(worker, undefined);
    });
    cluster.on('exit', (worker: Worker) => {
      this.#keep(worker);
    });
  }

  async text(): Promise<string> {
    const workers = [...this.#last.keys()];
    await Promise.all(
      workers.map(async (worker) => {
        await this.#questions.ask(worker, answerTimeoutMs, undefined);
      }),
    );
    // Both at the same time: one that ends meanwhile must not count twice, or not at all.
    const [running, ended] = [[...this.#last.values()], this.#ended];
    return await AggregatorRegistry.aggregate([...running, await ended]).metrics();
  }

  #keep(worker: Worker): void {
    const last = this.#last.get(worker) ?? [];
    this.#last.delete(worker);
    this.#questions.answered(worker, undefined);
    // Memory, connections and other gauges end with their process.
    const counted = last.filter(({ type }) => isCounted(String(type)));
    this.#ended = this.#ended.then(
      async (ended) => await AggregatorRegistry.aggregate([ended, counted]).getMetricsAsJSON(),
    );
  }
}

function isAnswer(message: object): message is Answer {
  return 'metrics' in message && Array.isArray(message.metrics);
}

function isCounted(type: string): boolean {
  return type === 'counter' || type === 'histogram';
}
