import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { withTable } from './page.ts';
import {
  bestOf,
  isReached,
  ratioOf,
  type RegistryResults,
  type Results,
  type RowResults,
} from './results.ts';
import { notes, textTable } from './table.ts';

const registry = (name: string, kind: RegistryResults['kind'], ...values: number[]): RegistryResults => ({
  name,
  kind,
  samples: values.map((value) => ({ value })),
});

const rates: RowResults = {
  ...{ name: 'folder/push', title: 'push', unit: 'MiB/s', more: true, goal: { ratio: 1 } },
  registries: [
    registry('here', 'here', 100, 300, 110),
    registry('distribution', 'peer', 50, 60, 220),
    registry('zot', 'peer', 120, 100, 110),
    registry('distribution, cached', 'beside', 1000),
  ],
};

const megabytes: RowResults = {
  ...{ name: 'folder/memory', title: 'memory', unit: 'MB', more: false, goal: { most: 200 } },
  registries: [
    registry('here', 'here', 199),
    registry('zot', 'peer', 50),
    { ...registry('distribution', 'peer'), why: 'it failed' },
  ],
};

const results: Results = {
  ...{ date: '2026-01-02', machine: { cores: 2, model: 'a processor' }, quick: false },
  missing: [{ name: 'other', why: 'it is not here' }],
  rows: [rates, megabytes],
};

describe('the results of npm run bench', () => {
  it('compares the median with that of the best other registry', () => {
    assert.equal(bestOf(rates)?.name, 'zot');
    assert.equal(ratioOf(rates), 1);
    assert.equal(isReached(rates), true);
    assert.equal(isReached({ ...rates, goal: { ratio: 1.5 } }), false);
  });

  it('takes the smallest for the best where less is better', () => {
    assert.equal(bestOf(megabytes)?.name, 'zot');
    assert.equal(isReached(megabytes), true);
    assert.equal(isReached({ ...megabytes, goal: { most: 198 } }), false);
    assert.equal(isReached({ ...megabytes, goal: { ratio: 1 / 3 } }), false);
  });

  it('does not know whether a goal is reached that was not measured', () => {
    const alone = { ...rates, registries: rates.registries.filter(({ kind }) => kind !== 'peer') };
    assert.equal(isReached(alone), undefined);
    assert.equal(isReached({ ...megabytes, registries: [] }), undefined);
  });

  it('has a line for each row, with the range of its values', () => {
    const [head = '', push = '', memory = ''] = textTable(results).split('\n');
    assert.match(
      head,
      /^work +here +distribution +zot +distribution, cached +ratio +CPU ratio +goal +reached$/,
    );
    assert.match(push, /^folder: push \(MiB\/s\) +110 \(100–300\) +60 \(50–220\) .* 1\.00 +– +≥ 1\.00 +yes$/);
    assert.match(memory, /^folder: memory \(MB\) +199 +– +50 .* ≤ 200 MB +yes$/);
  });

  it('shows the ratios of an earlier run beside', () => {
    const earlier = { ...results, rows: [{ ...rates, registries: rates.registries.slice(0, 2) }] };
    const [, push = '', memory = ''] = textTable(results, earlier).split('\n');
    assert.match(push, / 1\.83$/);
    assert.match(memory, / –$/);
  });

  it('says why a registry is missing', () => {
    assert.deepEqual(notes(results), ['other: it is not here', 'folder/memory, distribution: it failed']);
  });

  it('puts the table between the marks of a page', () => {
    const page = withTable('# Page\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nend\n', results);
    assert.match(page, /^# Page\n<!-- bench:begin -->\n2026-01-02, 2 cores \(a processor\)\.\n\n\| work \|/);
    assert.match(page, /\| folder: push \(MiB\/s\) \| 110 \(100–300\) \|/);
    assert.match(page, /\n- other: it is not here\n.*\n<!-- bench:end -->\nend\n$/);
    assert.doesNotMatch(page, /^old$/m);
    assert.throws(() => withTable('# Page\n', results), /has no <!-- bench:begin -->/);
  });
});
