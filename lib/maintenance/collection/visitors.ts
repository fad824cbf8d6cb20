import type { Visitor } from './look.ts';
import type { ResumableVisitor } from './look-steps.ts';

/** A visitor that shows what it sees to others. */
export function visitors(...all: readonly Visitor[]): Visitor {
  return {
    repository: async (seen, add) => {
      for (const one of all) await one.repository(seen, add);
    },
    blob: (seen) => allOf(all, (one) => one.blob(seen)),
    missing: (seen) => allOf(all, (one) => one.missing?.(seen)),
  };
}

/** Most visitors are done at once, and there may be millions of blobs: without a promise then. */
function allOf(
  all: readonly Visitor[],
  show: (one: Visitor) => ReturnType<Visitor['blob']> | undefined,
): Promise<void> | undefined {
  let shown: Promise<void> | undefined;
  for (const one of all) {
    const next = show(one);
    if (next instanceof Promise) shown = shown === undefined ? next : bothDone(shown, next);
  }
  return shown;
}

async function bothDone(first: Promise<void>, second: Promise<void>): Promise<void> {
  await Promise.all([first, second]);
}

/** As {@link visitors}, for a look that may go on in another process. */
export function resumableVisitors(first: ResumableVisitor, second: ResumableVisitor): ResumableVisitor {
  return {
    ...visitors(first, second),
    save: async () => {
      const saved = [await first.save(), await second.save()] as const;
      const size = Buffer.alloc(4);
      size.writeUInt32LE(saved[0].length);
      return Buffer.concat([size, ...saved]);
    },
    restore: async (saved) => {
      const end = 4 + saved.readUInt32LE();
      await first.restore(saved.subarray(4, end));
      await second.restore(saved.subarray(end));
    },
  };
}
