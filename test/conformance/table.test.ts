import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { problemsText } from './problems.ts';
import { withResults } from './results-page.ts';
import type { Counts, Results, Verdict } from './results.ts';
import { suiteVersion } from './suite.ts';
import { allConform, markdownTable, textTable, type Column } from './table.ts';

const passed: Counts = { passed: 983, failed: 0, skipped: 0 };

const results = (ping: Verdict, mount: Verdict, counts = passed): Results => ({
  lines: [
    { section: 'API', name: 'Blob mount', verdict: mount },
    { section: 'API', name: 'Ping', verdict: ping },
    { section: 'Data', name: 'Sparse Manifests', verdict: 'disabled' },
  ],
  counts,
  problems: counts.failed > 0 ? [{ outcome: 'failed', name: 'ping', message: 'received 404' }] : [],
});

const column = (title: string, one: Results, dev: Results): Column => ({
  kind: { title, markdown: `\`${title}\`` },
  runs: [
    { version: '1.1', results: one },
    { version: 'dev', results: dev },
  ],
});

const all = results('pass', 'pass');
const flawed = results('FAIL', 'skipped', { passed: 980, failed: 1, skipped: 2 });
const good = [column('folder', all, all), column('SCS', all, all)];
const bad = [column('folder', all, flawed), column('SCS', flawed, flawed)];

describe('the table of results', () => {
  it('the table of results has a row for each line of the summary and for the counts, with the worse result of both versions', () => {
    assert.deepEqual(textTable(bad).split('\n'), [
      '                        folder                           SCS',
      'API: Blob mount         skipped (dev)                    skipped',
      'API: Ping               FAIL (dev)                       FAIL',
      'Data: Sparse Manifests  disabled                         disabled',
      'Tests of 1.1            983 passed                       980 passed, 1 failed, 2 skipped',
      'Tests of dev            980 passed, 1 failed, 2 skipped  980 passed, 1 failed, 2 skipped',
    ]);
  });

  it('the table of results is the same in Markdown', () => {
    assert.deepEqual(markdownTable(good).split('\n'), [
      '| | `folder` | `SCS` |',
      '| --- | --- | --- |',
      '| API: Blob mount | pass | pass |',
      '| API: Ping | pass | pass |',
      '| Data: Sparse Manifests | disabled | disabled |',
      '| Tests of 1.1 | 983 passed | 983 passed |',
      '| Tests of dev | 983 passed | 983 passed |',
    ]);
  });

  it('the table of results shows what was not run and does not count it as passed', () => {
    const [folder, scs] = good;
    assert.ok(folder && scs);
    const broken = { ...scs, runs: scs.runs.slice(0, 1), broke: true };
    assert.match(textTable([folder, broken]), /Tests of dev +983 passed +not run$/);
    const less = { ...all, lines: all.lines.slice(1) };
    assert.match(textTable([folder, column('SCS', less, less)]), /Blob mount +pass +not run\n/);
    assert.ok(allConform(good));
    assert.ok(!allConform([folder, broken]));
    assert.ok(!allConform([folder, { ...scs, broke: true }]));
    assert.ok(!allConform(bad));
  });
});

describe('the tests that did not pass', () => {
  it('failed tests are listed once, with the runs in which they failed', () => {
    const runs = [
      { name: 'folder dev', results: flawed },
      { name: 'SCS dev', results: flawed },
    ];
    assert.equal(problemsText(runs), 'failed: ping: received 404 (everywhere)');
    const more = [...runs, { name: 'SCS 1.1', results: all }];
    assert.equal(problemsText(more), 'failed: ping: received 404 (folder dev, SCS dev)');
  });
});

describe('the results on their page', () => {
  const begin = '<!-- conformance:begin -->';
  const end = '<!-- conformance:end -->';

  it('results on a page stand between the markers and do not change if they are the same', () => {
    const page = withResults(`# Title\n\n${begin}\nformer\n\nformer\n${end}\n\nmore\n`, good);
    assert.ok(page.startsWith(`# Title\n\n${begin}\n![OCI conformance](`));
    assert.ok(page.endsWith(`\n${end}\n\nmore\n`));
    assert.ok(!page.includes('former'));
    assert.ok(page.includes(`\n\n${markdownTable(good)}\n\n`));
    assert.ok(page.includes(suiteVersion));
    assert.equal(withResults(page, good), page);
    assert.notEqual(withResults(page, bad), page);
    assert.equal(withResults(`${begin}\n${end}`, good), withResults(`${begin}\nformer\n${end}`, good));
  });

  it('docs/conformance.md has the markers and names the version of the suite', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/conformance.md'), 'utf8');
    assert.ok(withResults(page, good).includes(markdownTable(good)));
    assert.ok(page.includes(suiteVersion));
  });

  it('the page of results has a badge with the counts of the worst run', () => {
    const badge = (columns: readonly Column[]) =>
      /img\.shields\.io\/badge\/(.*)\)/.exec(withResults(`${begin}\n${end}`, columns))?.[1];
    assert.equal(badge(good), 'OCI%20Distribution-1.1%20and%20dev%3A%20983%20passed-brightgreen');
    assert.equal(
      badge(bad),
      'OCI%20Distribution-1.1%20and%20dev%3A%20980%20passed%2C%201%20failed%2C%202%20skipped-red',
    );
  });

  it('the page of results needs each marker once and in order', () => {
    assert.throws(() => withResults('# Title\n', good), /no line <!-- conformance:begin -->/);
    assert.throws(() => withResults(`${begin}\n`, good), /no line <!-- conformance:end -->/);
    assert.throws(() => withResults(`${begin}\n${begin}\n${end}\n`, good), /several lines/);
    assert.throws(() => withResults(`${end}\n${begin}\n`, good), /before/);
  });
});
