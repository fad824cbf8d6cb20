import { join } from 'node:path';
import type { Results } from './results.ts';
import { markdownTable, notes } from './table.ts';

export const performancePage = join(import.meta.dirname, '../../docs/performance.md');

const BEGIN = '<!-- bench:begin -->';
const END = '<!-- bench:end -->';

/** The page with the table of a run in the place for it. Throws where it has none. */
export function withTable(page: string, results: Results): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`${performancePage} has no ${BEGIN} and ${END} after it`);
  return `${page.slice(0, begin + BEGIN.length)}\n${tableOf(results)}\n${page.slice(end)}`;
}

function tableOf(results: Results): string {
  const { date, machine, quick } = results;
  const how = `${date}, ${machine.cores} cores (${machine.model})${quick ? ', with --quick' : ''}.`;
  const found = notes(results).map((note) => `- ${note}`);
  return [how, '', markdownTable(results), ...(found.length > 0 ? ['', ...found] : [])].join('\n');
}
