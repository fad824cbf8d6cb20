import { collect, type Variant } from './collector.ts';
import {
  clone,
  encode,
  forget,
  type Collector,
  type Mark,
  type State,
  type Writer,
  type WriterName,
} from './state.ts';
import type { Emit, Model } from './state-space.ts';
import { write } from './writer.ts';

export interface Scenario extends Variant {
  readonly writers: readonly WriterName[];
  readonly collectors: 1 | 2;
  /** Marks that may be begun. */
  readonly marks: 1 | 2;
  /** Marks that each collector works on, at most. */
  readonly rounds: number;
  /** Manifests that clients delete, at most, … */
  readonly deletes: number;
  /** … and links. */
  readonly unlinks: number;
}

/** The protocol of docs/garbage-collection.md, for one blob. */
export function collectionModel(scenario: Scenario): Model<State> {
  return {
    initial: initialOf(scenario),
    encode,
    step: (state, report) => {
      const emit: Emit<State> = (label, next) => {
        report(label, forget(next));
      };
      state.writers.forEach((_, index) => {
        write(state, index, scenario.omit, emit);
      });
      state.collectors.forEach((_, index) => {
        collect(state, index, scenario, emit);
      });
      deleteManifests(state, emit);
      deleteLinks(state, emit);
    },
    fault: faultOf,
  };
}

/** The blob is in repository a, where a manifest needs it. */
function initialOf({ writers, collectors, marks, rounds, deletes, unlinks }: Scenario): State {
  return {
    data: true,
    links: [1, 0],
    manifests: [true, false, false, false],
    marks: Array.from({ length: marks }, newMark),
    collectors: Array.from({ length: collectors }, () => idleCollector(rounds)),
    writers: writers.map(newWriter),
    deletes,
    unlinks,
    unlinked: [false, false],
    lostNewLink: false,
  };
}

export function newMark(): Mark {
  return { state: 'none', rescued: false, waited: false };
}

export function idleCollector(rounds: number): Collector {
  return {
    step: 'idle',
    mark: 0,
    rounds,
    found: false,
    recorded: false,
    signed: false,
    sent: [false, false, false],
  };
}

export function newWriter(name: WriterName): Writer {
  return { name, step: 'read marks', view: { written: 0, seen: 0 } };
}

function deleteManifests(state: State, emit: Emit<State>): void {
  if (state.deletes === 0) return;
  state.manifests.forEach((isThere, index) => {
    if (!isThere) return;
    const next = clone(state);
    next.manifests[index] = false;
    next.deletes -= 1;
    emit(`a client deletes manifest ${index}`, next);
  });
}

function deleteLinks(state: State, emit: Emit<State>): void {
  if (state.unlinks === 0) return;
  state.links.forEach((link, index) => {
    if (link === 0) return;
    const next = clone(state);
    [next.links[index], next.unlinked[index]] = [0, true];
    next.unlinks -= 1;
    emit(`a client deletes link ${index}`, next);
  });
}

/** A manifest needs the bytes, and the link of its own repository unless a client has deleted that. */
function faultOf({ manifests, links, unlinked, data, lostNewLink }: State): string | undefined {
  if (lostNewLink) return 'a link was deleted that is newer than the mark';
  const lacks = (at: number) => {
    const repository = at === 3 ? 1 : 0;
    return !data || (links[repository] === 0 && !unlinked[repository]);
  };
  const index = manifests.findIndex((isThere, at) => isThere && lacks(at));
  return index < 0 ? undefined : `manifest ${index} lacks its ${data ? 'link' : 'bytes'}`;
}
