import { collect } from './collector.ts';
import { clone, type State } from './state.ts';
import type { Emit } from './state-space.ts';
import { idleCollector, newMark, newWriter } from './model.ts';
import { write } from './writer.ts';

/** More than an actor needs that is alone. */
const maxSteps = 200;

/** What a push would fail at if everybody else stopped now, and the client tried again; undefined if it would succeed. */
export function faultOfRetry(state: State): string | undefined {
  const start = clone(state);
  start.writers = [newWriter('push')];
  const end = runAlone(start, (now, emit) => {
    write(now, 0, undefined, emit);
  });
  return end.manifests[1] && end.data && end.links[0] > 0 ? undefined : 'a repeated push does not succeed';
}

/** What a collection would leave if everybody else had died; undefined if nothing is left that is not needed. */
export function faultOfNextCollection(state: State): string | undefined {
  const start = clone(state);
  start.writers = [];
  start.marks.push(newMark(), newMark());
  start.collectors.push(idleCollector(start.marks.length));
  const own = start.collectors.length - 1;
  const end = runAlone(start, (now, emit) => {
    collect(now, own, {}, emit);
  });
  if (end.marks.some(({ state: one }) => one === 'condemns' || one === 'retired')) return 'a mark is left';
  const isNeeded = end.manifests.includes(true);
  return isNeeded === end.data ? undefined : isNeeded ? 'a collection took what is needed' : 'bytes are left';
}

/** Takes the first of the possible steps until there is none. */
function runAlone(start: State, step: (state: State, emit: Emit<State>) => void): State {
  let state = start;
  for (let taken = 0; taken < maxSteps; taken++) {
    let next: State | undefined;
    step(state, (_, one) => {
      next ??= one;
    });
    if (next === undefined) return state;
    state = next;
  }
  throw new Error('an actor that is alone does not come to an end');
}
