import { conforms } from './results.ts';
import { specVersions, suiteModule, suiteVersion } from './suite.ts';
import { allConform, countsText, markdownTable, type Column } from './table.ts';

const BEGIN = '<!-- conformance:begin -->';
const END = '<!-- conformance:end -->';

/** The page with these results in the place for them. Throws where it has none. */
export function withResults(page: string, columns: readonly Column[]): string {
  const begin = markerLine(page, BEGIN);
  const end = markerLine(page, END);
  if (end < begin) throw new Error(`the page has ${END} before ${BEGIN}`);
  return `${page.slice(0, begin + BEGIN.length)}\n${resultsMarkdown(columns)}\n${page.slice(end)}`;
}

/** A badge, the table, and what was run. */
export function resultsMarkdown(columns: readonly Column[]): string {
  const suite = `[\`${suiteModule}@${suiteVersion}\`](https://pkg.go.dev/${suiteModule}@${suiteVersion})`;
  const note =
    `The suite is ${suite}, run by \`npm run conformance\`; sparse manifests are refused by default, ` +
    'since a manifest is accepted only when what it names is there.';
  return [badge(columns), '', markdownTable(columns), '', note].join('\n');
}

/** With the counts of the worst run: those of several would count each test several times. */
function badge(columns: readonly Column[]): string {
  const runs = columns.flatMap((column) => column.runs.map(({ results }) => results));
  const [worst] = runs.toSorted(
    (one, other) =>
      Number(conforms(one)) - Number(conforms(other)) || one.counts.passed - other.counts.passed,
  );
  const message = `${specVersions.join(' and ')}: ${worst === undefined ? 'not run' : countsText(worst.counts)}`;
  const color = allConform(columns) ? 'brightgreen' : 'red';
  const path = [...['OCI Distribution', message].map(badgePart), color].join('-');
  return `![OCI conformance](https://img.shields.io/badge/${path})`;
}

/** As shields.io wants text: `-` and `_` twice, since one of them is its own. */
function badgePart(text: string): string {
  return encodeURIComponent(text.replace(/[-_]/g, '$&$&'));
}

/** Where the one line begins that is this marker. */
function markerLine(page: string, marker: string): number {
  const [line, ...more] = page.matchAll(new RegExp(`^${marker}$`, 'gm'));
  if (line === undefined) throw new Error(`the page has no line ${marker}, where the results go`);
  if (more.length > 0) throw new Error(`the page has several lines ${marker}, so the results have no place`);
  return line.index;
}
