/** A CPU profile as V8 writes it (https://chromedevtools.github.io/devtools-protocol/v8/Profiler/#type-Profile). */
export interface Profile {
  readonly nodes: readonly ProfileNode[];
  /** Ids of nodes, and µs since the one before. */
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
}

/** A function on the stack, with all that it calls. */
interface Frame {
  readonly name: string;
  /** µs of it, and of what it calls. */
  total: number;
  readonly calls: Map<string, Frame>;
}

const WIDTH = 1200;
const LINE = 17;
const HEAD = 30;

/** Narrower ones are left out, in pixels. */
const NARROWEST = 2;

/** What is no work. */
const idle = new Set(['(idle)', '(program)', '(root)']);

/**
 * Draws a flame graph: each box is a function, as wide as its share of the CPU time, above the one that called it. A pointer over
 * a box shows its name and share.
 * @returns SVG
 */
export function flameGraph(profile: Profile, title: string): string {
  const root = mergeStacks(profile);
  const depth = depthOf(root);
  const height = HEAD + (depth + 1) * LINE;
  const boxes: string[] = [];
  drawCalls(root, { x: 0, level: 0, root, height, boxes });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    `<text x="${WIDTH / 2}" y="20" text-anchor="middle" font-size="15">${escaped(title)}</text>`,
    ...boxes,
    '</svg>\n',
  ].join('\n');
}

/** The stacks of all samples, in which calls of the same function by the same callers are one. */
function mergeStacks({ nodes, samples, timeDeltas }: Profile): Frame {
  const times = new Map<number, number>();
  for (const [i, id] of samples.entries()) times.set(id, (times.get(id) ?? 0) + (timeDeltas[i] ?? 0));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const root: Frame = { name: 'all', total: 0, calls: new Map() };
  const add = (node: ProfileNode, callers: readonly Frame[]) => {
    const name = nameOf(node);
    const parent = callers.at(-1) ?? root;
    const stack = idle.has(name) ? callers : [...callers, frameOf(parent, name)];
    const time = idle.has(name) ? 0 : (times.get(node.id) ?? 0);
    for (const frame of stack) frame.total += time;
    for (const child of node.children ?? []) {
      const called = byId.get(child);
      if (called !== undefined) add(called, stack);
    }
  };
  const [first] = nodes;
  if (first !== undefined) add(first, [root]);
  return root;
}

function frameOf(parent: Frame, name: string): Frame {
  const found = parent.calls.get(name) ?? { name, total: 0, calls: new Map<string, Frame>() };
  parent.calls.set(name, found);
  return found;
}

/** Node's own functions are named with their module. */
function nameOf({ callFrame: { functionName, url } }: ProfileNode): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  return url.startsWith('node:') ? `${name} ${url}` : name;
}

interface Drawing {
  /** Where the first box begins. */
  readonly x: number;
  readonly level: number;
  readonly root: Frame;
  readonly height: number;
  readonly boxes: string[];
}

function drawCalls(frame: Frame, drawing: Drawing): void {
  let { x } = drawing;
  for (const call of [...frame.calls.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const width = (call.total / drawing.root.total) * WIDTH;
    if (width >= NARROWEST) {
      drawing.boxes.push(boxOf(call, { ...drawing, x }, width));
      drawCalls(call, { ...drawing, x, level: drawing.level + 1 });
    }
    x += width;
  }
}

function boxOf({ name, total }: Frame, { x, level, root, height }: Drawing, width: number): string {
  const y = height - (level + 1) * LINE;
  const shown = name.slice(0, Math.floor(width / 6.5));
  const text =
    shown.length < 3 ? '' : `<text x="${(x + 2).toFixed(1)}" y="${y + 12}">${escaped(shown)}</text>`;
  const share = ((total / root.total) * 100).toFixed(1);
  const box = `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${LINE - 1}" fill="${colorOf(name)}"/>`;
  return `<g><title>${escaped(name)}: ${share} %</title>${box}${text}</g>`;
}

/** Garbage collection is grey, Node is blue, and all else has a warm color of its own. */
function colorOf(name: string): string {
  if (name.startsWith('(')) return '#bbb';
  if (name.includes(' node:')) return '#9bc4e2';
  const sum = Buffer.from(name).reduce((all, byte) => (all * 31 + byte) % 997, 7);
  return `hsl(${20 + (sum % 35)},85%,${62 + (sum % 12)}%)`;
}

/** Levels of boxes that are wide enough. */
function depthOf(root: Frame): number {
  const below = (frame: Frame): number => {
    const wide = [...frame.calls.values()].filter(({ total }) => (total / root.total) * WIDTH >= NARROWEST);
    return wide.reduce((most, call) => Math.max(most, 1 + below(call)), 0);
  };
  return below(root);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
