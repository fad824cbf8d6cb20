import { describeStorage } from '../config/storage.ts';
import { loadConfigFile, type LoadedConfig } from '../config/file/load.ts';
import { knownSetting } from '../config/variables.ts';
import { readOptions, onlyFile, UsageError, type Command } from './command.ts';

export const command: Command = {
  summary: 'check the settings, and print those in use',
  usage: `Usage: stowage config check [--data-plane] [FILE]

Prints the settings that stowage serve would use, and where each comes from. Secrets are not shown. The exit code is 1 if
there are faults, and all of them are printed. Neither the storage nor the network is asked.

  --data-plane  check the settings of stowage serve data-plane
  FILE          a configuration file of distribution, by default REGISTRY_CONFIGURATION_PATH; variables override it`,
  run: async (args) => {
    const { values, positionals } = readOptions(args, { 'data-plane': { type: 'boolean' } });
    const [verb, ...files] = positionals;
    if (verb !== 'check')
      throw new UsageError(
        verb === undefined
          ? 'say what to do: check'
          : `${JSON.stringify(verb)} is not a known argument; the only one is check`,
      );
    const program = values['data-plane'] === true ? 'data-plane' : 'server';
    report(await loadConfigFile(program, onlyFile(files)));
    return 0;
  },
};

function report(loaded: LoadedConfig): void {
  const { config, path, differences, notes } = loaded;
  const rows = [['setting', 'value', 'from'], ...rowsOf(loaded)];
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  for (const row of rows)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
  console.log(`\nThe images are in ${describeStorage(config.storage)}.`);
  console.log(differences);
  for (const note of notes) console.log(note);
  for (const warning of config.warnings) console.log(`Warning: ${warning}.`);
  console.log(path === undefined ? 'The settings are valid.' : `The settings in ${path} are valid.`);
}

/** Settings that are set, and those whose default is one value. */
function rowsOf({ settings, sourceOf }: LoadedConfig): string[][] {
  return settings.used.flatMap(({ name, value, fallback }) => {
    const path = knownSetting(name)?.path ?? name;
    // 0 stands for what the machine gives.
    if (value === undefined)
      return [undefined, '0'].includes(fallback) ? [] : [[path, fallback ?? '', 'default']];
    return [[path, shown(name, value), sourceOf(name) || name]];
  });
}

/** Secrets, and passwords in URLs, are masked. */
function shown(name: string, value: string): string {
  const { setting } = knownSetting(name) ?? {};
  if (setting?.kind === 'works' && setting.secret === true) return '(secret)';
  const text = value.replace(/\/\/[^/@\s]*@/g, '//…@');
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
