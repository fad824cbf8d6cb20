/*
 * npm run scale:gc -- [REPOSITORIES] [--steps]: a collection of a simulated bucket of 100 blobs a repository, with the requests, memory
 * and processor time of its looks and deletions. With --steps, several invocations of a function go on from one another: each has
 * eight minutes for its processor time and what its requests would take.
 */
import { writeFileSync } from 'node:fs';
import { Collection } from '../../../lib/maintenance/collection/collection.ts';
import type { CollectionReport } from '../../../lib/maintenance/collection/report.ts';
import { temporaryFolder } from '../../servers/folder.ts';
import { SimulatedBucket } from './simulated-bucket.ts';

const options = process.argv.slice(2);
const inSteps = options.includes('--steps');
const repositories = Number(options.find((option) => option !== '--steps') ?? 10_000);
const budgetMs = 480_000;

type PhaseName = 'first look' | 'second look' | 'deletions';

/** What is due. */
function phaseIn(bucket: SimulatedBucket): PhaseName {
  if (bucket.sizesOf('marks/').size === 0) return 'first look';
  const isPlanned = [...bucket.sizesOf('plans/').keys()].some((key) => key.endsWith('/complete'));
  return isPlanned ? 'deletions' : 'second look';
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Measures a phase. */
class Phase {
  readonly name: PhaseName;
  readonly #bucket: SimulatedBucket;
  readonly #asked: number;
  readonly #cpuMs = cpuMs();
  #invocations = 1;
  #longestMs = 0;
  #stateBytes = 0;
  #keptBytes = 0;

  constructor(name: PhaseName, bucket: SimulatedBucket) {
    this.name = name;
    this.#bucket = bucket;
    this.#asked = bucket.asked;
    // From now on, the peak is that of this phase. Linux has this.
    if (process.platform === 'linux') writeFileSync('/proc/self/clear_refs', '5');
  }

  /** Notes the end of an invocation. */
  invoked(ms: number): void {
    this.#invocations += 1;
    this.note(ms);
  }

  note(ms: number): void {
    const sizes = this.#bucket.sizesOf('steps/');
    const sum = (some: Iterable<number>) => [...some].reduce((total, size) => total + size, 0);
    const states = [...sizes].filter(([key]) => key.endsWith('/state')).map(([, size]) => size);
    this.#longestMs = Math.max(this.#longestMs, ms);
    this.#stateBytes = Math.max(this.#stateBytes, sum(states));
    this.#keptBytes = Math.max(this.#keptBytes, sum(sizes.values()));
  }

  print(found: object): void {
    console.log(
      JSON.stringify({
        phase: this.name,
        ...found,
        requests: this.#bucket.asked - this.#asked,
        cpuSeconds: Math.round((cpuMs() - this.#cpuMs) / 1000),
        peakMegabytes: Math.round(process.resourceUsage().maxRSS / 1024),
        ...(inSteps && {
          invocations: this.#invocations,
          longestSeconds: Math.round(this.#longestMs / 1000),
          keptBytes: this.#keptBytes,
          stateBytes: this.#stateBytes,
        }),
      }),
    );
  }
}

/** What all invocations have deleted. */
const deleted = { blobs: 0, bytes: 0, manifests: 0, links: 0 };

function count({ deleted: { blobs, manifests, links } }: CollectionReport): void {
  deleted.blobs += blobs.number;
  deleted.bytes += blobs.bytes;
  deleted.manifests += manifests;
  deleted.links += links;
}

function foundIn(phase: PhaseName, { garbage, condemned }: CollectionReport): object {
  if (phase === 'deletions') return { deleted };
  return garbage && phase === 'first look'
    ? { ...garbage.total, freed: garbage.freed, condemned: condemned?.digests }
    : {};
}

const folder = await temporaryFolder('scale');
try {
  const bucket = new SimulatedBucket(repositories, folder.path);
  const clock = () => bucket.elapsedMs + cpuMs();
  let phase = new Phase('first look', bucket);
  for (let isMore = true; isMore;) {
    const began = clock();
    const leftMs = () => Math.max(0, began + budgetMs - clock());
    const collection = new Collection(bucket, bucket.fencing, {
      delayMs: 0,
      youngMs: 0,
      untagged: () => 0,
      ...(inSteps && { stepBudget: () => ({ budgetMs: leftMs(), clock }) }),
    });
    while (isMore && (!inSteps || leftMs() > 0)) {
      isMore = await collection.step();
      phase.note(clock() - began);
      const next = phaseIn(bucket);
      if (next === phase.name) continue;
      // What was deleted under a mark that is gone.
      if (next === 'first look') count(collection.report);
      phase.print(foundIn(phase.name, collection.report));
      phase = new Phase(next, bucket);
    }
    if (phase.name === 'deletions') count(collection.report);
    if (isMore) phase.invoked(clock() - began);
  }
} finally {
  folder.remove();
}
