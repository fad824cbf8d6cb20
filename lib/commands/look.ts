import { SingleBar } from 'cli-progress';
import { openRules } from '../compose-rules.ts';
import { createMaintenance } from '../compose.ts';
import type { Config } from '../config/config.ts';
import { describeStorage } from '../config/storage.ts';
import type { Damaged } from '../maintenance/collection/garbage.ts';
import type { CollectionProgress } from '../maintenance/collection/collection.ts';
import { look, type LookOptions, type Visitor } from '../maintenance/collection/look.ts';
import { visitors } from '../maintenance/collection/visitors.ts';
import { QuotaCount, type QuotaUsage } from '../maintenance/quotas/quota-count.ts';
import { RegistryError } from '../protocol/errors.ts';
import { QuotaRules } from '../registry/quotas/quota.ts';
import { StoreUnavailable, type ObjectStore } from '../storage/store.ts';
import { assertFolderExists, onDamaged, reasonOf } from './command.ts';
import { printVersions, readKeptVersions, type KeptVersions } from './kept-versions.ts';

/** Reasons that are printed of a repository. */
const maxReasons = 10;

export interface Looked {
  readonly versions: KeptVersions;
  /** Says what they take. */
  readonly printVersions: () => void;
}

/** The storage that is configured. */
export interface ConfiguredStorage {
  readonly config: Config;
  readonly store: ObjectStore;
}

/** @param check whether the settings are checked against the storage first, for what changes it */
export async function openConfigured(config: Config, check = false): Promise<ConfiguredStorage> {
  assertFolderExists(config.storage);
  return { config, store: (await createMaintenance(config, onDamaged, { check })).store };
}

/**
 * Looks at the whole storage, with its progress on a terminal. All that it says is on standard error.
 * @returns also what each quota has in use, in the order of the rules
 */
export async function lookAtStorage(
  opened: ConfiguredStorage,
  options: LookOptions,
  visited: Visitor,
): Promise<Looked & { readonly quotas: readonly QuotaUsage[] }> {
  const { config, store } = opened;
  const { storage, readOnly } = config;
  console.error(`looking at ${describeStorage(storage)}`);
  const bar = progressBar();
  try {
    const quotas = await beginQuotas(opened);
    const visitor = quotas === undefined ? visited : visitors(visited, quotas);
    await look(store, { ...options, keeps: !readOnly, onUnsaved, onProgress: bar.update }, visitor);
    if (!readOnly && quotas !== undefined) await saveQuotas(quotas);
    const versions = await readKeptVersions(store, (listed) => {
      bar.update({ phase: 'versions', listed });
    });
    return {
      quotas: quotas?.usage ?? [],
      versions,
      printVersions: () => {
        printVersions(versions, storage);
      },
    };
  } finally {
    bar.stop();
  }
}

/** Says that a look is not worth less, but the next one will not be faster. */
export function onUnsaved(error: unknown): void {
  console.error(
    `what manifests name cannot be kept, so the next look reads them again: ${reasonOf(error as Error)}`,
  );
}

/** @returns undefined if there are no quotas, or if it is not known which */
export async function beginQuotas({ config, store }: ConfiguredStorage): Promise<QuotaCount | undefined> {
  const source = await openRules(config, store);
  if (source === undefined) return undefined;
  try {
    const rules = new QuotaRules((await source.current()).quotas);
    return rules.all.length === 0 ? undefined : await QuotaCount.begin(store, rules);
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    console.error(`quotas are not counted: ${reasonOf(error)}`);
    return undefined;
  }
}

/** Keeps what quotas use for the registry. A failure is only named. */
export async function saveQuotas(quotas: QuotaCount): Promise<void> {
  try {
    await quotas.writeSums();
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    console.error(
      `what quotas use cannot be kept, so the registry goes on with what it knew: ${reasonOf(error)}`,
    );
  }
}

/** Names each repository of which nothing may be deleted, and why. */
export function reportDamaged(damaged: readonly Damaged[]): void {
  for (const { name, reasons } of damaged) {
    console.error(`${name} is damaged, so nothing of it may be deleted:`);
    for (const reason of reasons.slice(0, maxReasons)) console.error(`  ${reason}`);
    if (reasons.length > maxReasons) console.error(`  and ${reasons.length - maxReasons} more`);
  }
}

type Shown = CollectionProgress | { readonly phase: 'versions'; readonly listed: number };

/** Shown only on a terminal. How much there is to list is not known before. */
export function progressBar(): { update: (progress: Shown) => void; stop: () => void } {
  const bar = new SingleBar({
    format: '{phase}: {value}  {name}',
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  });
  return {
    update: (progress) => {
      if (!process.stderr.isTTY) return;
      const [value, phase, name] = shownAs(progress);
      // The others come by pages and parts.
      const isEach = progress.phase === 'repositories' || progress.phase === 'blobs';
      if (isEach && value % 1000 !== 1) return;
      if (!bar.isActive) bar.start(Number.MAX_SAFE_INTEGER, value, { phase, name });
      bar.update(value, { phase, name });
    },
    stop: () => {
      bar.stop();
    },
  };
}

function shownAs(progress: Shown): [value: number, phase: string, name: string] {
  switch (progress.phase) {
    case 'repositories':
      return [progress.keys, 'links of repositories', progress.repository];
    case 'blobs':
      return [progress.blobs, 'blobs', ''];
    case 'deletions':
      return [progress.blobs, 'deleted blobs', ''];
    case 'versions':
      return [progress.listed, 'versions', ''];
  }
}
