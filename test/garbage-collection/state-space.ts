/** Reports what can be done next, and the state after it. */
export type Emit<State> = (label: string, next: State) => void;

export interface Model<State> {
  readonly initial: State;
  /** Reports each state that can follow one, which it leaves as it is. */
  readonly step: (state: State, emit: Emit<State>) => void;
  /** Always of the same length. */
  readonly encode: (state: State) => Uint8Array;
  /** What is wrong with a state; undefined if nothing is. */
  readonly fault: (state: State) => string | undefined;
}

export interface Explored {
  /** Number of distinct states. */
  readonly states: number;
  /** The first fault found, and one of the shortest ways to it: a label for each step. */
  readonly fault: { readonly reason: string; readonly path: readonly string[] } | undefined;
}

/** Explores all states that a model can reach, breadth first, up to the first fault. */
export function explore<State>(model: Model<State>): Explored {
  const states = new StateSet(model.encode(model.initial).length);
  const parents: number[] = [];
  const reasons: string[] = [];
  let frontier: State[] = [];
  const visit = (state: State, parent: number, reached: State[]): void => {
    if (reasons.length > 0 || !states.add(model.encode(state))) return;
    parents.push(parent);
    reached.push(state);
    const reason = model.fault(state);
    if (reason !== undefined) reasons.push(reason);
  };
  visit(model.initial, -1, frontier);
  for (let at = 0; frontier.length > 0 && reasons.length === 0;) {
    const reached: State[] = [];
    for (const state of frontier) {
      const parent = at++;
      model.step(state, (_, next) => {
        visit(next, parent, reached);
      });
    }
    frontier = reached;
  }
  const [reason] = reasons;
  const fault = reason === undefined ? undefined : { reason, path: pathToLast(model, states, parents) };
  return { states: states.size, fault };
}

/** The labels of the steps to the last state. */
function pathToLast<State>(
  { initial, step, encode }: Model<State>,
  states: StateSet,
  parents: readonly number[],
): string[] {
  const numbers: number[] = [];
  for (let at = states.size - 1; at > 0; at = parents[at] ?? 0) numbers.unshift(at);
  const path: string[] = [];
  let state = initial;
  for (const number of numbers) {
    const target = states.get(number);
    let found: { readonly label: string; readonly next: State } | undefined;
    step(state, (label, next) => {
      if (Buffer.compare(encode(next), target) === 0) found ??= { label, next };
    });
    if (found === undefined) throw new Error('a step of the model is not repeatable');
    path.push(found.label);
    state = found.next;
  }
  return path;
}

/** A set of byte strings of equal length, numbered in the order of their addition. */
class StateSet {
  size = 0;
  readonly #width: number;
  #bytes: Uint8Array;
  /** The number of a state plus one; 0 is free. */
  #slots = new Uint32Array(1 << 16);

  constructor(width: number) {
    this.#width = width;
    this.#bytes = new Uint8Array(width << 15);
  }

  get(number: number): Uint8Array {
    return this.#bytes.subarray(number * this.#width, (number + 1) * this.#width);
  }

  /** @returns false if it is there already */
  add(state: Uint8Array): boolean {
    if (this.size * 2 >= this.#slots.length) this.#grow();
    const slot = this.#slotOf(state);
    if (this.#slots[slot] !== 0) return false;
    this.#bytes.set(state, this.size * this.#width);
    this.size += 1;
    this.#slots[slot] = this.size;
    return true;
  }

  /** The slot of a state, or a free one. */
  #slotOf(state: Uint8Array): number {
    const mask = this.#slots.length - 1;
    for (let slot = hashOf(state) & mask; ; slot = (slot + 1) & mask) {
      const number = this.#slots[slot] ?? 0;
      if (number === 0 || this.#equals(number - 1, state)) return slot;
    }
  }

  #equals(number: number, state: Uint8Array): boolean {
    const start = number * this.#width;
    for (let at = 0; at < this.#width; at++) if (this.#bytes[start + at] !== state[at]) return false;
    return true;
  }

  #grow(): void {
    const bytes = new Uint8Array(this.#slots.length * this.#width);
    bytes.set(this.#bytes.subarray(0, this.size * this.#width));
    this.#bytes = bytes;
    this.#slots = new Uint32Array(this.#slots.length * 2);
    for (let number = 0; number < this.size; number++)
      this.#slots[this.#slotOf(this.get(number))] = number + 1;
  }
}

/** FNV-1a, with its upper bits mixed into the lower ones. */
function hashOf(state: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of state) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (hash ^ (hash >>> 13)) >>> 0;
}
