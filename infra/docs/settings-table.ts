/* Writes the table of settings into docs/configuration-file.md: npm run docs */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { settingTable, type Setting } from '../../lib/config/setting-table.ts';

export const settingsPage = join(import.meta.dirname, '../../docs/configuration-file.md');

const heading = '| setting | here |\n| --- | --- |\n';

/** The page with the rows of the table as they are in the code. */
export function withSettings(page: string): string {
  const start = page.indexOf(heading) + heading.length;
  if (start < heading.length) throw new Error(`${settingsPage} has no table of settings`);
  const end = page.indexOf('\n\n', start);
  const rows = Object.entries(settingTable).map(([path, setting]) => row(path, setting));
  return `${page.slice(0, start)}${rows.join('\n')}${end < 0 ? '\n' : page.slice(end)}`;
}

function row(path: string, setting: Setting): string {
  const all = setting.below === true && setting.kind !== 'works' ? ', and what is below it' : '';
  return `| \`${path}\`${all} | ${meaning(setting)} |`;
}

function meaning(setting: Setting): string {
  switch (setting.kind) {
    case 'works':
      return setting.note === undefined ? 'works' : `works. ${setting.note}`;
    case 'ignored':
      return `no effect: ${setting.note}`;
    case 'refused': {
      const allowed = setting.allowed === undefined ? '' : `, except ${setting.allowed}`;
      return `refused${allowed}: ${setting.remedy.replace(/\b(?:REGISTRY_[A-Z0-9_]+(?:=\w+)?)/g, '`$&`')}`;
    }
  }
}

if (process.argv[1] === import.meta.filename)
  writeFileSync(settingsPage, withSettings(readFileSync(settingsPage, 'utf8')));
