import { SingleBar } from 'cli-progress';
import { createMaintenance } from '../compose.ts';
import { loadConfigFile } from '../config/file/load.ts';
import { describeStorage } from '../config/storage.ts';
import type { Damaged } from '../maintenance/collection/garbage.ts';
import type { CollectionProgress } from '../maintenance/collection/collection.ts';
import { look, type LookOptions, type Visitor } from '../maintenance/collection/look.ts';
import { assertFolderExists, onDamaged, reasonOf } from './command.ts';
import { printVersions, readKeptVersions, type KeptVersions } from './kept-versions.ts';

/** Reasons that are printed of a repository. */
const maxReasons = 10;

export interface Looked {
  readonly versions: KeptVersions;
  /** Says what they take. */
  readonly printVersions: () => void;
}

/** Looks at the whole storage that is configured, with its progress on a terminal. All that it says is on standard error. */
export async function lookAtStorage(
  file: string | undefined,
  options: LookOptions,
  visitor: Visitor,
): Promise<Looked> {
  const { config } = await loadConfigFile('maintenance', file);
  const { storage, readOnly } = config;
  assertFolderExists(storage);
  const { store } = await createMaintenance(config, onDamaged);
  console.error(`looking at ${describeStorage(storage)}`);
  const bar = progressBar();
  try {
    await look(store, { ...options, keeps: !readOnly, onUnsaved, onProgress: bar.update }, visitor);
    const versions = await readKeptVersions(store, (listed) => {
      bar.update({ phase: 'versions', listed });
    });
    return {
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
