import type { Fencing, ObjectInfo, ObjectStore } from '../../storage/store.ts';
import { deletionsPrefix, lookedKey } from '../../registry/layout.ts';
import { clockUnitMs, newerThanMark } from '../../registry/collection/mark.ts';
import { undefinedIfMissing } from '../../registry/links.ts';
import { listObjects } from '../../registry/list-objects.ts';
import { Condemnation } from './condemn.ts';
import { deletePlanned, MarkRetired } from './deletion.ts';
import { Garbage } from './garbage.ts';
import { ListedCondemned } from './listed-condemned.ts';
import { look, type LookOptions } from './look.ts';
import { removeLook, stepLook, type ResumableVisitor, type StepOptions } from './look-steps.ts';
import { recordLinks } from './link-records.ts';
import { LinkRepair } from './link-repair.ts';
import {
  isOnlyLinks,
  isRetired,
  listMarks,
  removeAbandoned,
  removeMark,
  retire,
  type ListedMark,
} from './marks.ts';
import { discardPlan, findPlan, readPart } from './plan.ts';
import { emptyReport, type Waiting } from './report.ts';
import { BucketSegments, LocalSegments } from './segments.ts';
import { SecondLook } from './second-look.ts';
import { resumableVisitors } from './visitors.ts';

export interface CollectionOptions extends Pick<
  LookOptions,
  'keeps' | 'onUnsaved' | 'untagged' | 'untaggedFrom' | 'countsPulls'
> {
  /** Milliseconds from a mark to the deletions under it. */
  readonly delayMs: number;
  /** Milliseconds: what is younger is no garbage. */
  readonly youngMs: number;
  /**
   * Whether other registries write to the storage, which read no marks: then links go and bytes stay. Default: false, nothing else
   * writes to it.
   */
  readonly onlyLinks?: boolean;
  /** For looks in steps, which other processes go on with; by default a look is one step. @returns the time that is left */
  readonly stepBudget?: () => Pick<StepOptions, 'budgetMs' | 'saveMs' | 'clock'>;
  readonly onProgress?: (progress: CollectionProgress) => void;
  /** Begins what sees the first look as well, before each of its steps. What it is must not differ between them. */
  readonly alsoSees?: () => Promise<AlsoSees | undefined>;
}

export interface AlsoSees {
  readonly visitor: ResumableVisitor;
  /** Called when it has seen everything. */
  readonly finish: () => Promise<void>;
}

export type CollectionProgress =
  | Parameters<NonNullable<LookOptions['onProgress']>>[0]
  | { readonly phase: 'deletions'; readonly blobs: number };

/**
 * A run of garbage collection (docs/garbage-collection.md, "Collectors"): takes up the marks that are there, oldest first, and then
 * looks for what to condemn, unless a mark waits already. Its state is in the bucket, so that any other run goes on where it was
 * stopped.
 */
export class Collection {
  readonly report = emptyReport();
  readonly #store: ObjectStore;
  readonly #fencing: Fencing;
  readonly #options: CollectionOptions;
  /** By mark, milliseconds from its time until all commits by writers that had not read it have landed, or never will. */
  readonly #ended = new Map<string, number>();
  readonly #onlyLinks: boolean;
  #repair: LinkRepair | 'due' | 'done' = 'due';
  /** The marks under which this run has made the second look. */
  readonly #looked = new Set<string>();

  constructor(store: ObjectStore, fencing: Fencing, options: CollectionOptions) {
    this.#store = store;
    this.#fencing = fencing;
    this.#options = options;
    this.#onlyLinks = options.onlyLinks ?? false;
  }

  /**
   * Does what is due next: a look, the deletion of a part of what was planned, or what ends a mark.
   * @returns whether something else is due
   */
  async step(): Promise<boolean> {
    const { now, marks } = await listMarks(this.#fencing);
    const left = marks.filter(({ id }) => !this.report.waiting.some(({ mark }) => mark === id));
    const other = left.find((mark) => !this.#isOwn(mark.id));
    if (other !== undefined) {
      await this.#giveUp(other);
      return true;
    }
    if (this.#repair !== 'done' && (await this.#writeLinksAgain(this.#repair, marks, now))) return true;
    const [next] = left;
    if (next !== undefined) {
      await this.#takeUp(next, now);
      return true;
    }
    const condemns = this.report.waiting.some((waiting) => waiting.next === 'deletions');
    if (this.report.garbage === undefined && !condemns && (await this.#isLookDue(now))) {
      await this.#condemn(now);
      return true;
    }
    // Pushes through another registry may have come while links went.
    if (this.#onlyLinks && this.#looked.size > 0) {
      this.#looked.clear();
      this.#repair = 'due';
      return true;
    }
    await removeAbandoned(this.#store, marks, now);
    return false;
  }

  #isOwn(mark: string): boolean {
    return isOnlyLinks(mark) === this.#onlyLinks;
  }

  /** Ends a mark of the other kind: what was found under it may not hold for this one. */
  async #giveUp(mark: ListedMark): Promise<void> {
    if (await isRetired(this.#store, mark.id)) {
      await this.#remove(mark);
      return;
    }
    await retire(this.#store, mark.id);
    this.report.givenUp.push(mark.id);
  }

  /** @returns whether there are more records to follow */
  async #writeLinksAgain(
    begun: LinkRepair | 'due',
    marks: readonly ListedMark[],
    now: Date,
  ): Promise<boolean> {
    const options = { marks: new Set(marks.map(({ id }) => id)), now, exclusive: !this.#onlyLinks };
    const repair = begun === 'due' ? new LinkRepair(this.#store, options) : begun;
    const before = repair.written;
    const hasMore = await repair.step();
    this.#repair = hasMore ? repair : 'done';
    this.report.linksWrittenAgain += repair.written - before;
    return hasMore;
  }

  async #takeUp(mark: ListedMark, now: Date): Promise<void> {
    if (await isRetired(this.#store, mark.id)) {
      await this.#remove(mark);
      return;
    }
    const passedMs = now.getTime() - mark.written.getTime();
    // A store may date with seconds, so the time of no wait is not compared.
    const leftMs = (waitMs: number) => (waitMs === 0 ? 0 : Math.max(0, waitMs - passedMs));
    // Commits are ended when the delay is over, and not by each run before.
    const { delayMs } = this.#options;
    const waitMs = leftMs(delayMs) || leftMs(await this.#endCommits(mark)) || this.#otherEndsMs;
    if (waitMs > 0) this.#wait(mark, 'deletions', waitMs);
    else await this.#delete(mark);
  }

  /** Milliseconds until no deletion can land under a mark of the other kind: what it takes must be written again before a look. */
  get #otherEndsMs(): number {
    const other = this.report.waiting.filter(({ mark }) => !this.#isOwn(mark));
    return Math.max(0, ...other.map(({ from }) => from.getTime() - Date.now()));
  }

  /** Once: in a folder, it also ends commits by writers that have read the mark, which they repeat. */
  async #endCommits({ id }: ListedMark): Promise<number> {
    const ms = this.#ended.get(id) ?? (await this.#fencing.end());
    this.#ended.set(id, ms);
    return ms;
  }

  /** A look in steps is made once a day: whoever makes them comes more often. */
  async #isLookDue(now: Date): Promise<boolean> {
    if (this.#options.stepBudget === undefined) return true;
    const last = await undefinedIfMissing(this.#store.head(lookedKey));
    return last === undefined || now.getTime() - last.lastModified.getTime() >= dayMs;
  }

  /** First look. */
  async #condemn(now: Date): Promise<void> {
    const { youngMs, untagged, untaggedFrom, countsPulls } = this.#options;
    const garbage = new Garbage();
    const condemnation = new Condemnation(this.#store, now, this.#onlyLinks);
    const ages = {
      // The first step of the look tells when it began.
      get youngSince() {
        return new Date(condemnation.began.getTime() - Math.max(youngMs, clockUnitMs));
      },
      ...(untagged && { untagged, untaggedFrom, countsPulls }),
    };
    const own = resumableVisitors(garbage, condemnation);
    const { stepBudget, alsoSees } = this.#options;
    const also = await alsoSees?.();
    const visitor = also === undefined ? own : resumableVisitors(own, also.visitor);
    if (!(await this.#look('first', ages, visitor))) return;
    await also?.finish();
    this.report.condemned = await condemnation.finish();
    this.report.garbage = garbage;
    if (stepBudget !== undefined) await this.#store.put(lookedKey, Buffer.from(''));
  }

  async #delete(mark: ListedMark): Promise<void> {
    const { deleted, left } = this.report;
    const plan = await findPlan(this.#store, mark.id);
    if (plan === undefined) {
      await this.#lookAgain(mark);
      return;
    }
    // Other registries may have used since what nothing needed then.
    if (this.#onlyLinks && !this.#looked.has(mark.id)) {
      await discardPlan(this.#store, plan);
      return;
    }
    const [part] = plan.parts;
    if (part === undefined) {
      left.needed += plan.left.needed;
      left.renewed += plan.left.renewed;
      left.held += plan.left.held;
      await retire(this.#store, mark.id);
      return;
    }
    const planned = await readPart(this.#store, part);
    if (planned === undefined) {
      await discardPlan(this.#store, plan);
      return;
    }
    if (this.#onlyLinks) await recordLinks(this.#store, mark.id, part, planned);
    try {
      await deletePlanned(this.#store, this.#fencing, mark.id, planned, deleted);
    } catch (error) {
      if (!(error instanceof MarkRetired)) throw error;
      return;
    }
    await this.#store.delete([part]);
    this.#options.onProgress?.({ phase: 'deletions', blobs: deleted.blobs.number });
  }

  /** Second look. What was pushed in the second in which the mark began counts as newer. */
  async #lookAgain({ id }: ListedMark): Promise<void> {
    const condemned = await ListedCondemned.open(this.#store, id);
    if (condemned === undefined) return;
    if (condemned instanceof Error) throw condemned;
    const run = `second-${id}`;
    const segments =
      this.#options.stepBudget === undefined ? new LocalSegments() : new BucketSegments(this.#store, run);
    try {
      const visitor = new SecondLook(this.#store, condemned, segments);
      const youngSince = new Date(newerThanMark(condemned.mark.began.getTime()));
      // What was not condemned with its manifest is left, so all of these may count.
      const isComplete = await this.#look(run, { youngSince, untagged: () => 0 }, visitor);
      if (!isComplete) return;
      await visitor.finish();
      this.#looked.add(id);
    } finally {
      if (segments instanceof LocalSegments) segments.close();
    }
  }

  /** @returns whether the look is complete */
  async #look(
    run: string,
    ages: Pick<LookOptions, 'youngSince' | 'untagged' | 'untaggedFrom' | 'countsPulls'>,
    visitor: ResumableVisitor,
  ): Promise<boolean> {
    const { keeps = true, onUnsaved, onProgress, stepBudget } = this.#options;
    const options = Object.assign(ages, {
      keeps,
      ...(onUnsaved && { onUnsaved }),
      ...(onProgress && { onProgress }),
    });
    if (stepBudget === undefined) {
      await look(this.#store, options, visitor);
      return true;
    }
    if (!(await stepLook(this.#store, options, visitor, { run, ...stepBudget() }))) return false;
    // Before its result counts: otherwise it would be taken for that of the next look, if this process ended in between.
    await removeLook(this.#store, run);
    return true;
  }

  /** Removes a retired mark, once no deletion under it can land any more. */
  async #remove(mark: ListedMark): Promise<void> {
    // A collector that writes a record from now on sees that the mark is retired.
    const records: ObjectInfo[] = await Array.fromAsync(listObjects(this.#store, deletionsPrefix(mark.id)));
    let leftMs = 0;
    for (const record of records) leftMs = Math.max(leftMs, await this.#fencing.endDeletion(record));
    if (leftMs > 0) {
      this.#wait(mark, 'removal', leftMs);
      return;
    }
    await removeMark(this.#store, mark.id);
    if (this.#isOwn(mark.id)) this.report.completed.push(mark.id);
  }

  #wait({ id, written }: ListedMark, next: Waiting['next'], leftMs: number): void {
    const from = new Date(Date.now() + leftMs);
    this.report.waiting.push({ mark: id, onlyLinks: isOnlyLinks(id), written, next, from });
  }
}

const dayMs = 86_400_000;
