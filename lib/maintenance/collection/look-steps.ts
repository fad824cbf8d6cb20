import { listObjects } from '../../registry/list-objects.ts';
import { removeObjects } from '../../registry/remove-objects.ts';
import { parseStepsKey, stepsKey, stepsPrefix } from '../../registry/layout.ts';
import { undefinedIfDamaged } from '../../registry/links.ts';
import {
  ObjectNotFound,
  PreconditionFailed,
  StoreUnavailable,
  type ObjectStore,
} from '../../storage/store.ts';
import { storeTimeMs } from '../../storage/store-time.ts';
import { LookRun, type LookOptions, type Visitor } from './look.ts';
import { maxStateBytes, parseLookState, serializeLookState, type LookState } from './look-state.ts';
import { BucketSegments } from './segments.ts';
import { Spool } from './spool.ts';

/** A visitor of a look that may go on in another process. */
export interface ResumableVisitor extends Visitor {
  /** All that another process needs of it, beside what it has written to the bucket. */
  save(): Promise<Buffer> | Buffer;
  restore(saved: Buffer): Promise<void> | void;
}

export interface StepOptions {
  /** Names the look, whose steps go on from one another. Without slashes. */
  readonly run: string;
  /** Milliseconds after which a step ends, at the next place where it can. */
  readonly budgetMs?: number;
  /** Milliseconds after which its state is saved, so that a process that is killed loses no more. */
  readonly saveMs?: number;
  /** Milliseconds since any time. */
  readonly clock?: () => number;
}

const minute = 60_000;
const week = 7 * 24 * 60 * minute;

/**
 * Goes on with a look, which is complete after one or more steps. Its state is in the bucket: what the last step has saved, and the
 * segments of its spool. A step that is killed is repeated from there, with the same result. What it keeps is some 40 bytes for each
 * digest and repository, until {@link removeLook}.
 *
 * One process at a time goes on with a look, where the bucket honours conditions: the others fail when they save.
 * @param visitor new; it gets what it had, and then the rest
 * @returns whether the look is complete. Then any further step only gives the visitor what it had at the end.
 * @throws StoreUnavailable
 */
export async function stepLook(
  store: ObjectStore,
  options: LookOptions,
  visitor: ResumableVisitor,
  { run, budgetMs = 8 * minute, saveMs = minute, clock = () => performance.now() }: StepOptions,
): Promise<boolean> {
  const end = clock() + budgetMs;
  const saved = await SavedLook.open(store, run);
  const continued = saved.state && (await openSegments(store, run, saved.state.segments));
  const { segments, spool } = continued ?? emptySpool(store, run);
  const state = continued && saved.state;
  if (state === undefined) await removeAbandonedLooks(store, run);
  else await visitor.restore(state.visitor);
  if (state?.isComplete === true) return true;
  const look = new LookRun(store, options, visitor, spool, state?.position);
  const save = async (isComplete: boolean) => {
    await spool.flush();
    const { position } = look;
    await saved.save({ position, segments: segments.names, visitor: await visitor.save(), isComplete });
  };
  let nextSave = clock() + saveMs;
  const isComplete = await look.run(() => {
    const now = clock();
    if (now < nextSave && now < end) return 'go on';
    return save(false).then(() => {
      nextSave = clock() + saveMs;
      return clock() < end ? 'go on' : 'stop';
    });
  });
  if (isComplete) await save(true);
  return isComplete;
}

interface OpenedSpool {
  readonly segments: BucketSegments;
  readonly spool: Spool;
}

/** @returns undefined if one is missing: then the look must begin again */
async function openSegments(
  store: ObjectStore,
  run: string,
  names: readonly string[],
): Promise<OpenedSpool | undefined> {
  const segments = new BucketSegments(store, run, names);
  try {
    return { segments, spool: await Spool.open(segments) };
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined;
    throw error;
  }
}

function emptySpool(store: ObjectStore, run: string): OpenedSpool {
  const segments = new BucketSegments(store, run);
  return { segments, spool: new Spool(segments) };
}

/** Removes what a look has kept, once its result is safe elsewhere. The state goes first. */
export async function removeLook(store: ObjectStore, run: string): Promise<void> {
  await store.delete([stepsKey(run, stateName)]);
  await removeObjects(store, stepsKey(run, ''));
}

/** Removes the looks, and all that has no state, where nothing was written for a week. */
async function removeAbandonedLooks(store: ObjectStore, except: string): Promise<void> {
  const latest = new Map<string, number>();
  for await (const { key, lastModified } of listObjects(store, stepsPrefix)) {
    const run = parseStepsKey(key);
    if (run !== undefined && run !== except)
      latest.set(run, Math.max(latest.get(run) ?? 0, lastModified.getTime()));
  }
  const limit = storeTimeMs(store) - week;
  for (const [run, time] of latest) if (time < limit) await removeLook(store, run);
}

const stateName = 'state';

/** The state of a look in the bucket. */
class SavedLook {
  readonly #store: ObjectStore;
  readonly #key: string;
  /** Undefined for a look that begins, or whose state is damaged or of another release. */
  readonly state: LookState | undefined;
  #etag: string | undefined;

  private constructor(store: ObjectStore, key: string, state?: LookState, etag?: string) {
    this.#store = store;
    this.#key = key;
    this.state = state;
    this.#etag = etag;
  }

  static async open(store: ObjectStore, run: string): Promise<SavedLook> {
    const key = stepsKey(run, stateName);
    const found = await undefinedIfDamaged(store, key, store.read(key, maxStateBytes));
    return new SavedLook(store, key, found && parseLookState(found.bytes), found?.etag);
  }

  async save(state: LookState): Promise<void> {
    const bytes = serializeLookState(state);
    const condition = this.#etag === undefined ? { onlyIfAbsent: true } : { ifMatch: this.#etag };
    try {
      this.#etag = (await this.#store.put(this.#key, bytes, condition)).etag;
    } catch (error) {
      if (!(error instanceof PreconditionFailed)) throw error;
      // It may be this very state, if the answer to an attempt was lost.
      const found = await this.#store.read(this.#key, maxStateBytes);
      if (!found.bytes.equals(bytes)) throw otherProcess(this.#key, error);
      this.#etag = found.etag;
    }
  }
}

function otherProcess(key: string, cause: unknown): StoreUnavailable {
  return new StoreUnavailable(key, 'another process goes on with the same look, so this one stops', {
    cause,
  });
}
