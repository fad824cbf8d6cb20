import { expire } from './collector.ts';
import {
  clone,
  type Collector,
  type Omission,
  type Repository,
  type State,
  type View,
  type Writer,
  type WriterName,
  type WriterStep,
} from './state.ts';
import type { Emit } from './state-space.ts';

/** What a writer pushes to: a repository, and the index of its manifest. */
const targets: Readonly<
  Record<WriterName, { readonly repository: Repository; readonly manifest: 1 | 2 | 3 }>
> = {
  push: { repository: 0, manifest: 1 },
  repush: { repository: 0, manifest: 2 },
  recall: { repository: 0, manifest: 2 },
  mount: { repository: 1, manifest: 3 },
};

type Take = (label: string, step: WriterStep, change?: (next: State, writer: Writer) => void) => void;

/** What a condemned blob is rescued for, and the step after that. */
const afterRescue = {
  bytes: 'put bytes',
  link: 'look again for link',
  manifest: 'look again for manifest',
} as const satisfies Record<string, WriterStep>;

/**
 * The steps of the writer with this index. `push` uploads the blob, then its manifest. `repush` finds the blob in its repository
 * and uploads only a manifest; so does `recall`, whose process has seen the bytes before and does not look again. `mount` finds it
 * in another repository.
 */
export function write(state: State, index: number, omit: Omission | undefined, emit: Emit<State>): void {
  const writer = state.writers[index];
  if (writer === undefined) return;
  const { name, view, step } = writer;
  const { repository, manifest } = targets[name];
  const take: Take = (label, then, change) => {
    const next = clone(state);
    const one = next.writers[index];
    if (one === undefined) return;
    one.step = then;
    change?.(next, one);
    emit(`${name}: ${label}`, next);
  };
  const now = viewOf(state);
  const readMarks = (then: WriterStep) => {
    take('reads the marks', then, (_, one) => {
      one.view = now;
    });
  };
  /** Whatever is listed is rescued, however new its link is: a client may delete that link again. */
  const isListed =
    view.seen !== 0 && !(omit === 'the rescue of a blob with a new link' && isNew(view, state.links[0]));
  const ifListed = (rescue: WriterStep, otherwise: WriterStep) => (isListed ? rescue : otherwise);
  const mayCommit = isAlive(state, view) || omit === 'the limit of a commit';
  /** What a client does that is told that the blob is not there. */
  const absent = name === 'push' ? 'read marks' : 'absent';
  const again = name === 'recall' ? 'read marks' : 'read marks for manifest';
  switch (step) {
    case 'read marks':
      if (name === 'recall')
        take('sees the bytes', state.data ? 'read marks later' : absent, (_, one) => {
          one.view = { ...now, seen: 0 };
        });
      else readMarks(name === 'push' ? 'choose' : 'look for link');
      break;
    case 'read marks later':
      take('reads the marks', 'look for link of manifest', (_, one) => {
        one.view = { ...view, seen: now.seen };
      });
      break;
    case 'choose':
      take('begins to place its bytes', ifListed('rescue for bytes', 'put bytes'));
      break;
    case 'put bytes':
      take('places its bytes', 'put link', (next) => {
        next.data = true;
      });
      break;
    case 'look for link': {
      // The link that gives access: in its own repository, or in that to mount from.
      const isHidden = name === 'repush' ? isHiddenFromHead(state, view) : isCondemned(state, view);
      const isThere = state.links[0] > 0 && !isHidden;
      take('asks for the link', isThere ? 'look for bytes' : absent);
      break;
    }
    case 'look for bytes': {
      const then = name === 'repush' ? 'read marks for manifest' : ifListed('rescue for link', 'put link');
      take('asks for the bytes', state.data ? then : absent);
      break;
    }
    case 'rescue for bytes':
    case 'rescue for link':
    case 'rescue for manifest':
    case 'read records for bytes':
    case 'read records for link':
    case 'read records for manifest':
    case 'await deletion for bytes':
    case 'await deletion for link':
    case 'await deletion for manifest':
      rescue(state, writer, omit, take);
      break;
    case 'look again for link': {
      const isThere = state.data || omit === 'the look at the bytes after a rescue';
      take('asks for the bytes again', isThere ? 'put link' : absent);
      break;
    }
    case 'put link':
    case 'put link again': {
      const isFirst = step === 'put link';
      if (!mayCommit) take('may not link any more', isFirst ? 'read marks for link' : again);
      else
        take('links the blob', isFirst ? 'read marks for manifest' : 'put manifest', (next) => {
          next.links[repository] = 1 + begun(state);
          next.unlinked[repository] = false;
        });
      break;
    }
    case 'read marks for link':
      // Whatever it knew is too old.
      if (name === 'mount') readMarks('look for link');
      else readMarks(now.seen === 0 ? 'look again for link' : 'rescue for link');
      break;
    case 'read marks for manifest':
      readMarks('look for link of manifest');
      break;
    case 'look for link of manifest': {
      const known = ifListed('rescue for manifest', 'put manifest');
      const then = name === 'recall' ? known : 'look for bytes of manifest';
      take('asks for the link', state.links[repository] === 0 ? absent : then);
      break;
    }
    case 'look for bytes of manifest':
      take('asks for the bytes', state.data ? ifListed('rescue for manifest', 'put manifest') : absent);
      break;
    case 'look again for manifest': {
      const isThere = state.data && state.links[repository] > 0;
      const then = isThere || omit === 'the look at the bytes after a rescue' ? 'put link again' : absent;
      take('asks for both again', then);
      break;
    }
    case 'put manifest':
      if (!mayCommit) take('may not commit any more', again);
      else
        take('commits the manifest', 'done', (next) => {
          next.manifests[manifest] = true;
        });
      break;
    case 'done':
    case 'absent':
      break;
  }
}

/** Rescues the blob, reads the records of deletions, and waits for one that is under way. */
function rescue(state: State, { step, view }: Writer, omit: Omission | undefined, take: Take): void {
  const purpose = step.endsWith('bytes') ? 'bytes' : step.endsWith('link') ? 'link' : 'manifest';
  const underWay = (one: Collector) => one.recorded && has(view.seen, one.mark);
  if (step.startsWith('rescue'))
    take('rescues the blob', `read records for ${purpose}`, (next) => {
      if (omit === 'the rescue by a push') return;
      next.marks.forEach((mark, at) => {
        if (has(view.seen, at)) mark.rescued = true;
      });
    });
  else if (step.startsWith('read records')) {
    const isUnderWay = state.collectors.some(underWay);
    take('reads the records', isUnderWay ? `await deletion for ${purpose}` : afterRescue[purpose]);
  } else
    take('waits until the deletion can land no more', afterRescue[purpose], (next) => {
      if (omit !== 'the wait for a deletion') next.collectors.filter(underWay).forEach(expire);
    });
}

/** The marks as they are in the bucket now. */
function viewOf({ marks }: State): View {
  const bits = (states: readonly string[]) =>
    marks.reduce((sum, { state }, at) => sum + (states.includes(state) ? 1 << at : 0), 0);
  return { written: bits(['condemns', 'retired', 'removed']), seen: bits(['condemns', 'retired']) };
}

function has(bits: number, at: number): boolean {
  return (bits & (1 << at)) !== 0;
}

/** Whether what is signed after the marks were read can still land: no wait for readers of a later mark is over. */
function isAlive({ marks }: State, { written }: View): boolean {
  return marks.every(({ waited }, at) => !waited || has(written, at));
}

/** What a mount asks: whether a mark lists the blob, and nobody has rescued it from it. */
function isCondemned({ marks }: State, { seen }: View): boolean {
  return marks.some(({ rescued }, at) => has(seen, at) && !rescued);
}

/** What HEAD asks: whether that is so of a mark that is newer than the link. */
function isHiddenFromHead({ marks, links }: State, { seen }: View): boolean {
  return marks.some(({ rescued }, at) => has(seen, at) && !rescued && links[0] <= at + 1);
}

function isNew({ seen }: View, link: number): boolean {
  return [0, 1].every((at) => !has(seen, at) || link > at + 1);
}

function begun({ marks }: State): number {
  return marks.filter(({ state }) => state !== 'none').length;
}
