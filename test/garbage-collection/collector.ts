import { clone, type Collector, type CollectorStep, type Mark, type Omission, type State } from './state.ts';
import type { Emit } from './state-space.ts';

export interface Variant {
  readonly omit?: Omission | undefined;
  /** Whether a collector reads repository b before a. */
  readonly fromB?: boolean | undefined;
}

/** What permits a deletion, in its order. */
const permission: readonly CollectorStep[] = ['record', 'sign', 'read rescues', 'read mark', 'delete links'];

/** Wrong orders. */
const permissions: Partial<Record<Omission, readonly CollectorStep[]>> = {
  'the signature before the look at rescues': ['record', 'read rescues', 'read mark', 'sign', 'delete links'],
  'the record before the look at rescues': ['sign', 'read rescues', 'read mark', 'record', 'delete links'],
};

/** The steps of the collector with this index, and the landing of the requests that it has sent. */
export function collect(
  state: State,
  index: number,
  { omit, fromB = false }: Variant,
  emit: Emit<State>,
): void {
  const before = state.collectors[index];
  if (before === undefined) return;
  const take = (label: string, change: (next: State, one: Collector, mark: Mark | undefined) => void) => {
    const next = clone(state);
    const one = next.collectors[index];
    if (one !== undefined) change(next, one, next.marks[one.mark]);
    emit(`collector ${index + 1}: ${label}`, next);
  };
  const order = (omit && permissions[omit]) ?? permission;
  const [first = 'record'] = order;
  const after = (step: CollectorStep) => order[order.indexOf(step) + 1] ?? 'delete links';
  const goTo = (label: string, step: CollectorStep) => {
    take(label, (_, one) => {
      one.step = step;
    });
  };
  const readManifest = (place: number, then: CollectorStep) => {
    const number = fromB ? 3 - place : place;
    take(`reads manifest ${number}`, (_, one) => {
      one.found ||= state.manifests[number] === true;
      one.step = then;
    });
  };
  landRequests(state, index, emit);
  switch (before.step) {
    case 'idle':
      if (before.rounds > 0) start(state, take);
      break;
    case 'read 0':
      readManifest(0, 'read 1');
      break;
    case 'read 1':
      readManifest(1, 'read 2');
      break;
    case 'read 2':
      readManifest(2, 'read 3');
      break;
    case 'read 3':
      take(`reads manifest ${fromB ? 0 : 3}`, (_, one, own) => {
        const isUnused = !one.found && !state.manifests[fromB ? 0 : 3] && state.data;
        if (isUnused) one.step = 'condemn';
        else {
          if (own !== undefined) own.state = 'removed';
          end(one);
        }
      });
      break;
    case 'condemn':
      take('writes its mark', (_, one, own) => {
        if (own !== undefined) own.state = 'condemns';
        one.step = 'wait';
      });
      break;
    case 'wait':
      take('waits until all writers have read the mark', (_, one, own) => {
        if (own !== undefined) own.waited = omit !== 'the wait after a mark';
        one.found = false;
        one.step = omit === 'the second look' ? first : 'read again 0';
      });
      break;
    case 'read again 0':
      readManifest(0, 'read again 1');
      break;
    case 'read again 1':
      readManifest(1, 'read again 2');
      break;
    case 'read again 2':
      readManifest(2, 'read again 3');
      break;
    case 'read again 3':
      readManifest(3, 'read link 0');
      break;
    case 'read link 0':
    case 'read link 1':
      take('reads a link', (_, one) => {
        const link = state.links[(one.step === 'read link 0') === fromB ? 1 : 0];
        const isNew = link > one.mark + 1;
        one.found ||= isNew && omit !== 'links written since';
        one.step = one.step === 'read link 0' ? 'read link 1' : one.found ? 'retire' : first;
      });
      break;
    case 'record':
      take('records that it deletes', (_, one) => {
        one.recorded = omit !== 'the record of a deletion';
        one.step = after('record');
      });
      break;
    case 'sign':
      take('signs the deletion', (_, one) => {
        one.signed = true;
        one.step = after('sign');
      });
      break;
    case 'read rescues':
      take('reads rescues', (_, one, own) => {
        const isRescued = own?.rescued === true && omit !== 'the look at rescues';
        one.step = isRescued ? 'end record' : after('read rescues');
      });
      break;
    case 'read mark':
      take('reads the mark again', (_, one, own) => {
        const isThere = own?.state === 'condemns' || omit === 'the look at the mark before a deletion';
        one.step = isThere ? after('read mark') : 'end record';
      });
      break;
    case 'delete links':
      if (!before.signed) goTo('is refused', first);
      else
        take('sends the deletion of the links', (_, one) => {
          one.sent = [true, true, false];
          one.step = 'delete bytes';
        });
      break;
    case 'delete bytes':
      if (before.sent.includes(true)) giveUp(take, first);
      else if (!before.signed) goTo('is refused', first);
      else
        take('sends the deletion of the bytes', (_, one) => {
          one.sent = [false, false, true];
          one.step = 'finish';
        });
      break;
    case 'finish':
      if (before.sent.includes(true)) giveUp(take, first);
      else if (!before.signed) goTo('is refused', first);
      else goTo('is told that the bytes are deleted', 'end record');
      break;
    case 'end record':
      take('removes its record', (_, one) => {
        one.recorded = false;
        [one.signed, one.sent] = [false, [false, false, false]];
        one.step = 'retire';
      });
      break;
    case 'retire':
      take('retires the mark', (_, one, own) => {
        if (own?.state === 'condemns') own.state = 'retired';
        if (own?.state === 'removed') end(one);
        else one.step = 'wait to remove';
      });
      break;
    case 'wait to remove':
      take('waits until no deletion under the mark can land', (next, one) => {
        if (omit !== 'the wait before a mark is removed')
          for (const other of next.collectors) if (other.mark === one.mark) expire(other);
        one.step = 'remove';
      });
      break;
    case 'remove':
      take('removes the mark', (_, one, own) => {
        if (own !== undefined) own.state = 'removed';
        end(one);
      });
      break;
  }
}

type Take = (label: string, change: (next: State, one: Collector, mark: Mark | undefined) => void) => void;

/** Takes up a mark that is there, or begins one. */
function start(state: State, take: Take): void {
  const there = state.marks.flatMap(({ state: one }, at) =>
    one === 'condemns' || one === 'retired' ? [at] : [],
  );
  for (const at of there)
    take('takes up a mark', (next, one) => {
      one.mark = at;
      one.step = next.marks[at]?.state === 'retired' ? 'wait to remove' : 'wait';
    });
  const fresh = state.marks.findIndex(({ state: one }) => one === 'none');
  if (there.length > 0 || fresh < 0) return;
  take('begins a mark', (next, one) => {
    one.mark = fresh;
    const own = next.marks[fresh];
    if (own !== undefined) own.state = 'begun';
    one.found = false;
    one.step = 'read 0';
  });
}

/** Its answer may be lost, so it must not be repeated or forgotten before it can land no more. */
function giveUp(take: Take, first: CollectorStep): void {
  take('waits until its request can land no more', (_, one) => {
    expire(one);
    one.step = first;
  });
}

function landRequests(state: State, index: number, emit: Emit<State>): void {
  const before = state.collectors[index];
  if (before?.signed !== true) return;
  for (const which of [0, 1, 2] as const) {
    if (!before.sent[which]) continue;
    const next = clone(state);
    const one = next.collectors[index];
    if (one !== undefined) one.sent[which] = false;
    if (which === 2) next.data = false;
    else if (state.links[which] > 0) {
      next.unlinked[which] = false;
      next.lostNewLink ||= state.links[which] > before.mark + 1;
      next.links[which] = 0;
    }
    emit(`the deletion of ${which === 2 ? 'the bytes' : `link ${which}`} lands`, next);
  }
}

/** Its requests can land no more. */
export function expire(one: Collector): void {
  one.signed = false;
  one.sent = [false, false, false];
}

function end(one: Collector): void {
  one.step = 'idle';
  one.rounds -= 1;
  one.found = false;
}
