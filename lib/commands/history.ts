import { readHistory, type HistoryEntry } from '../registry/undo/history.ts';
import { UndoRefused } from '../registry/undo/refused.ts';
import { readOptions, type Command } from './command.ts';
import { harmless } from './harmless.ts';
import { tableLines } from './table.ts';
import { nameAndFile, readTagName } from './undo/arguments.ts';
import { openStorage } from './undo/open.ts';

export const command: Command = {
  summary: 'list what a tag pointed at',
  usage: `Usage: stowage history REPOSITORY:TAG [--json] [FILE]

Lists the manifests that a tag points at and pointed at, newest first, each with its last push.

  --json  print one object for programs
  FILE    a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH`,
  run: async (args) => {
    const { values, positionals } = readOptions(args, { json: { type: 'boolean' } });
    const given = nameAndFile(positionals, 'tag, such as team/app:v1');
    const { name, tag } = readTagName(given.name);
    const { store } = await openStorage(given.file, { writes: false });
    const { entries } = await readHistory(store, name, tag);
    if (entries.length === 0) throw new UndoRefused(`there is no tag ${name}:${tag}`);
    if (values.json === true) console.log(toJson(name, tag, entries));
    else printTable(entries);
    return 0;
  },
};

function toJson(repository: string, tag: string, entries: readonly HistoryEntry[]): string {
  const listed = entries.map(({ at, by, ...entry }) => ({ ...entry, at: at ?? null, by: by ?? null }));
  return JSON.stringify({ version: 1, repository, tag, entries: listed }, undefined, 2);
}

/** Without access control nobody is known, and nobody has a column. */
function printTable(entries: readonly HistoryEntry[]): void {
  const rows = [['LAST PUSHED', 'DIGEST', 'TAG', 'MANIFEST', 'BY'], ...entries.map(row)];
  const isKnown = entries.some(({ by }) => by !== undefined);
  for (const line of tableLines(isKnown ? rows : rows.map((one) => one.slice(0, -1)))) console.log(line);
}

function row({ at, by, digest, isCurrent, exists }: HistoryEntry): string[] {
  return [
    at?.toISOString() ?? 'unknown',
    digest,
    isCurrent ? 'points here' : '',
    exists ? 'present' : 'gone',
    by === undefined ? 'unknown' : harmless(by),
  ];
}
