import { readHistory, type HistoryEntry } from '../registry/undo/history.ts';
import { UndoRefused } from '../registry/undo/refused.ts';
import { readOptions, type Command } from './command.ts';
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
    else for (const line of tableLines([header, ...entries.map(row)])) console.log(line);
    return 0;
  },
};

function toJson(repository: string, tag: string, entries: readonly HistoryEntry[]): string {
  const listed = entries.map(({ at, ...entry }) => ({ ...entry, at: at ?? null }));
  return JSON.stringify({ version: 1, repository, tag, entries: listed }, undefined, 2);
}

const header = ['LAST PUSHED', 'DIGEST', 'TAG', 'MANIFEST'];

function row({ at, digest, isCurrent, exists }: HistoryEntry): readonly string[] {
  return [
    at?.toISOString() ?? 'unknown',
    digest,
    isCurrent ? 'points here' : '',
    exists ? 'present' : 'gone',
  ];
}
