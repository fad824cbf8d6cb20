/** What is left out of the protocol, to show that it is needed. */
export type Omission =
  | 'the wait after a mark'
  | 'the second look'
  | 'links written since'
  | 'the record of a deletion'
  | 'the look at rescues'
  | 'the signature before the look at rescues'
  | 'the rescue by a push'
  | 'the wait for a deletion'
  | 'the look at the bytes after a rescue'
  | 'the look at the mark before a deletion'
  | 'the wait before a mark is removed'
  | 'the limit of a commit'
  | 'the record before the look at rescues'
  | 'the rescue of a blob with a new link';

/** The repositories a and b. */
export type Repository = 0 | 1;

/** `none` until it is begun, `begun` until it is in the bucket. */
export type MarkState = 'none' | 'begun' | 'condemns' | 'retired' | 'removed';

/** A mark that condemns the blob. */
export interface Mark {
  state: MarkState;
  /** Whether a push has rescued the blob from it. */
  rescued: boolean;
  /** Whether commits by those who had not seen it can land no more. */
  waited: boolean;
}

export interface Collector {
  step: CollectorStep;
  /** The index of its mark. */
  mark: number;
  /** How many marks it may still work on. */
  rounds: number;
  /** Whether its look at the bucket has found a use of the blob. */
  found: boolean;
  /** Its record of a deletion that is under way, which is in the bucket. */
  recorded: boolean;
  /** Whether its requests to delete have a signature that has not expired. */
  signed: boolean;
  /** Requests to delete that may still land: of the two links and of the bytes. */
  sent: [boolean, boolean, boolean];
}

export const collectorSteps = [
  'idle',
  'read 0',
  'read 1',
  'read 2',
  'read 3',
  'condemn',
  'wait',
  'read again 0',
  'read again 1',
  'read again 2',
  'read again 3',
  'read link 0',
  'read link 1',
  'record',
  'sign',
  'read rescues',
  'read mark',
  'delete links',
  'delete bytes',
  'finish',
  'end record',
  'retire',
  'wait to remove',
  'remove',
] as const;

export type CollectorStep = (typeof collectorSteps)[number];

/** The marks that a writer has read: one bit for each. */
export interface View {
  /** Those that had been written, and perhaps removed, when the oldest of what it relies on was read. */
  written: number;
  /** Those that were there when it read the marks. */
  seen: number;
}

/** A client's push, with the registry that serves it. */
export interface Writer {
  name: WriterName;
  step: WriterStep;
  view: View;
}

export type WriterName = 'push' | 'repush' | 'recall' | 'mount';

export const writerSteps = [
  'read marks',
  'read marks later',
  'choose',
  'rescue for bytes',
  'read records for bytes',
  'await deletion for bytes',
  'put bytes',
  'look for link',
  'look for bytes',
  'rescue for link',
  'read records for link',
  'await deletion for link',
  'look again for link',
  'put link',
  'read marks for link',
  'read marks for manifest',
  'look for link of manifest',
  'look for bytes of manifest',
  'rescue for manifest',
  'read records for manifest',
  'await deletion for manifest',
  'look again for manifest',
  'put link again',
  'put manifest',
  'done',
  'absent',
] as const;

export type WriterStep = (typeof writerSteps)[number];

/** The bucket, and the actors. */
export interface State {
  /** The bytes of the blob. */
  data: boolean;
  /** Its links in the repositories: 0 for none, otherwise one more than the number of marks begun before it was written. */
  links: [number, number];
  /** The manifests that need it: in a one from the start, that of `push`, and that of `repush` or `recall`; in b that of `mount`. */
  manifests: [boolean, boolean, boolean, boolean];
  marks: Mark[];
  collectors: Collector[];
  writers: Writer[];
  /** How many manifests clients may still delete, … */
  deletes: number;
  /** … and how many links. */
  unlinks: number;
  /** The links that a client has deleted. */
  unlinked: [boolean, boolean];
  /** Whether a deletion has removed a link that is newer than its mark. */
  lostNewLink: boolean;
}

export const markStates: readonly MarkState[] = ['none', 'begun', 'condemns', 'retired', 'removed'];

export function clone(state: State): State {
  return {
    ...state,
    links: [...state.links],
    unlinked: [...state.unlinked],
    manifests: [...state.manifests],
    marks: state.marks.map((mark) => ({ ...mark })),
    collectors: state.collectors.map((one) => ({ ...one, sent: [...one.sent] })),
    writers: state.writers.map((one) => ({ ...one, view: { ...one.view } })),
  };
}

/** Forgets what nothing will read any more, so that equal futures are one state. Changes the state. */
export function forget(state: State): State {
  const { marks, links, collectors, writers } = state;
  for (const mark of marks) if (mark.state === 'removed') mark.rescued = false;
  links.forEach((link, at) => {
    // What matters of a link is which of the marks that are there it is newer than.
    while (link > 1 && marks[link - 2]?.state === 'removed') link -= 1;
    links[at] = link;
  });
  for (const one of collectors) {
    if (one.step === 'idle') one.mark = 0;
    if (!reading.has(one.step)) one.found = false;
  }
  for (const one of writers) if (viewless.has(one.step)) one.view = { written: 0, seen: 0 };
  return state;
}

const reading: ReadonlySet<CollectorStep> = new Set(
  collectorSteps.filter((step) => step.startsWith('read ')),
);

const viewless: ReadonlySet<WriterStep> = new Set(
  writerSteps.filter(
    (step) =>
      (step.startsWith('read marks') && step !== 'read marks later') || step === 'done' || step === 'absent',
  ),
);

/** Numbers a state's parts, each from 0 to 255. */
export function encode(state: State): Uint8Array {
  return Uint8Array.from([
    Number(state.data) + 2 * Number(state.lostNewLink),
    ...state.links,
    ...state.manifests.map(Number),
    state.deletes * 16 + state.unlinks * 4 + Number(state.unlinked[0]) * 2 + Number(state.unlinked[1]),
    ...state.marks.flatMap((one) => [
      markStates.indexOf(one.state),
      Number(one.rescued) + 2 * Number(one.waited),
    ]),
    ...state.collectors
      .map(encodeCollector)
      // Which of two collectors is which does not matter.
      .sort((a, b) => a - b)
      .flatMap((number) => [number >> 16, (number >> 8) & 255, number & 255]),
    ...state.writers.flatMap((one) => [writerSteps.indexOf(one.step), one.view.written + 4 * one.view.seen]),
  ]);
}

function encodeCollector({ step, mark, rounds, found, recorded, signed, sent }: Collector): number {
  const bits = [found, recorded, signed, ...sent].reduce((all, bit) => 2 * all + Number(bit), 0);
  return (collectorSteps.indexOf(step) << 16) + (((mark << 4) + rounds) << 8) + bits;
}
