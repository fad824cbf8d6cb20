import { memoryFolder, temporaryFolder } from '../servers/folder.ts';
import { whyMissing } from '../servers/requires.ts';
import { messageOf } from '../conformance/messages.ts';
import type { Contender } from './contenders.ts';
import type { Generator } from './generator.ts';
import { buckets, folders, type Places } from './place.ts';
import type { RegistryResults, RowResults } from './results.ts';
import { isOwnRow, type Measure, type OwnRow, type RegistryRow, type Sample } from './row.ts';
import { Running } from './running.ts';
import type { Sizes } from './sizes.ts';

/** What a row is measured with. */
export interface Bench {
  readonly contenders: readonly Contender[];
  readonly generator: Generator;
  readonly sizes: Sizes;
  /** Told what is being done. */
  readonly progress: (what: string) => void;
}

/** Another registry that takes this long for one measurement is not measured again. */
const SLOW_AFTER_MS = 15_000;

/** A registry in a row: measured, until it fails. */
interface Entry {
  readonly contender: Contender;
  readonly samples: Sample[];
  running?: Running;
  measure?: Measure;
  why?: string;
}

/** Measures a row: each registry once a round, on storage of its own. */
export async function measureRow(row: RegistryRow | OwnRow, bench: Bench): Promise<RowResults> {
  const registries = isOwnRow(row) ? await measureOwn(row, bench) : await measureRegistries(row, bench);
  const { name, unit, more, goal } = row;
  return { name, title: row.title(bench.sizes), unit, more, ...(goal && { goal }), registries };
}

async function measureOwn(
  row: OwnRow,
  { contenders, sizes, generator, progress }: Bench,
): Promise<RegistryResults[]> {
  const entries = contenders.filter(({ kind }) => kind === 'here').map(entryOf);
  for (let round = 0; round < (row.rounds ?? sizes.rounds); round++)
    for (const entry of inTurn(entries, round)) {
      progress(`${row.name}, round ${round + 1}: ${entry.contender.name}`);
      await attempt(entry, async () => {
        entry.samples.push(
          await row.measure({ checkout: entry.contender.checkout ?? '.', sizes, generator }),
        );
      });
    }
  return entries.map((entry) => resultsOf(entry, row));
}

async function measureRegistries(row: RegistryRow, bench: Bench): Promise<RegistryResults[]> {
  const entries = bench.contenders.filter((contender) => takesPart(contender, row)).map(entryOf);
  const folder = await (row.inMemory === true ? memoryFolder : temporaryFolder)('bench');
  let places: Places | undefined;
  try {
    places = row.store === 'folder' ? folders(folder.path) : await openBuckets(folder.path, row);
    for (const entry of entries) {
      bench.progress(`${row.name}: preparing ${entry.contender.name}`);
      await prepare(entry, { row, places, folder: folder.path, bench });
    }
    for (let round = 0; round < (row.rounds ?? bench.sizes.rounds); round++)
      for (const entry of inTurn(entries, round)) {
        bench.progress(`${row.name}, round ${round + 1}: ${entry.contender.name}`);
        await measureOnce(entry);
      }
  } catch (error) {
    for (const entry of entries) entry.why ??= messageOf(error);
  } finally {
    for (const { running } of entries) await running?.stop();
    await places?.stop();
    folder.remove();
  }
  return entries.map((entry) => resultsOf(entry, row));
}

async function openBuckets(folder: string, { counted = false }: RegistryRow): Promise<Places> {
  const why = whyMissing('versitygw');
  if (why !== undefined) throw new Error(why);
  return await buckets(folder, counted);
}

function takesPart({ kind }: Contender, { cached, alone = false }: RegistryRow): boolean {
  if (kind === 'here') return true;
  return !alone && (kind === 'peer' || cached !== undefined);
}

async function prepare(
  entry: Entry,
  { row, places, folder, bench }: { row: RegistryRow; places: Places; folder: string; bench: Bench },
): Promise<void> {
  await attempt(entry, async () => {
    const { contender } = entry;
    const place = await places.newPlace(`of-${contender.name.replaceAll(/[^a-z0-9]+/g, '-')}`);
    entry.running = await Running.start({
      ...{ contender, place, folder, proxy: places.proxy, workers: row.workers },
      core: row.oneCore ? 0 : undefined,
      generator: bench.generator.on(row.oneCore ? 1 : undefined),
    });
    entry.measure = await row.prepare(entry.running, bench.sizes);
  });
}

async function measureOnce(entry: Entry): Promise<void> {
  if (entry.measure === undefined) return;
  const { measure, samples, contender } = entry;
  const start = performance.now();
  await attempt(entry, async () => {
    samples.push(await measure());
  });
  const isSlow = contender.kind !== 'here' && performance.now() - start > SLOW_AFTER_MS;
  if (isSlow || entry.why !== undefined) delete entry.measure;
}

/** Does something for a registry, and keeps why it failed. */
async function attempt(entry: Entry, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    entry.why ??= messageOf(error).split('\n').slice(0, 3).join(' ').slice(0, 300);
  }
}

function entryOf(contender: Contender): Entry {
  return { contender, samples: [] };
}

/** Another one is first in each round. */
function inTurn<T>(all: readonly T[], round: number): readonly T[] {
  const first = round % Math.max(1, all.length);
  return [...all.slice(first), ...all.slice(0, first)];
}

function resultsOf({ contender, samples, why }: Entry, row: RegistryRow | OwnRow): RegistryResults {
  const beside = contender.kind === 'cached' && (isOwnRow(row) || row.cached === 'beside');
  const kind = contender.kind === 'here' ? 'here' : beside ? 'beside' : 'peer';
  return { name: contender.name, kind, samples, ...(why !== undefined && { why }) };
}
