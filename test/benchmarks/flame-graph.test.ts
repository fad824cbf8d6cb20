import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { flameGraph, type Profile } from './flame-graph.ts';

const node = (id: number, functionName: string, children: number[] = [], url = 'file:///a.mjs') => ({
  ...{ id, children },
  callFrame: { functionName, url, lineNumber: 0 },
});

/** `serve` calls `read` from two places; half of the time nothing is done. */
const profile: Profile = {
  nodes: [
    node(1, '(root)', [2, 3]),
    node(2, '(idle)'),
    node(3, 'serve', [4, 5, 6]),
    node(4, 'read<T>'),
    node(5, 'read<T>'),
    node(6, 'write', [], 'node:fs'),
  ],
  samples: [2, 3, 4, 5, 6],
  timeDeltas: [500, 200, 100, 100, 100],
};

describe('a flame graph', () => {
  it('gives each function its share of the CPU time', () => {
    const svg = flameGraph(profile, 'GET & HEAD');
    assert.match(svg, /^<svg [^>]+ viewBox="0 0 1200 \d+"/);
    assert.match(svg, />GET &amp; HEAD</);
    assert.match(svg, /<title>serve: 100\.0 %<\/title><rect x="0\.0" y="\d+" width="1200\.0"/);
    assert.match(svg, /<title>read&lt;T&gt;: 40\.0 %<\/title><rect x="0\.0" y="\d+" width="480\.0"/);
    assert.match(svg, /<title>write node:fs: 20\.0 %<\/title><rect x="480\.0" y="\d+" width="240\.0"/);
    assert.doesNotMatch(svg, /idle|root/);
  });
});
