import { existsSync } from 'node:fs';
import { ConfigError, type Config } from '../config/config.ts';
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
    const loaded = await loadConfigFile(program, onlyFile(files));
    const missing = missingFiles(loaded.config);
    if (missing.length > 0) throw new ConfigError(missing);
    report(loaded);
    return 0;
  },
};

/** Files that the start will open, beyond those that the settings themselves need. */
function missingFiles({ auth }: Config): string[] {
  const ofPasswords = 'htpasswd' in auth ? auth.htpasswd : auth.kind === 'htpasswd' ? auth.source : undefined;
  const files = {
    REGISTRY_AUTH_HTPASSWD_PATH: ofPasswords?.kind === 'file' ? ofPasswords.path : undefined,
    REGISTRY_AUTH_POLICY_PATH:
      auth.kind === 'policy' && auth.policy.kind === 'file' ? auth.policy.path : undefined,
    REGISTRY_AUTH_TOKEN_JWKS: auth.kind === 'token' ? auth.jwks : undefined,
    REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE: auth.kind === 'token' ? auth.rootCertBundle : undefined,
  };
  return Object.entries(files).flatMap(([name, path]) =>
    path === undefined || existsSync(path) ? [] : [`${name}: the file ${path} does not exist`],
  );
}

function report(loaded: LoadedConfig): void {
  const { config, path, notes } = loaded;
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
  for (const note of notes) console.log(note);
  for (const warning of config.warnings) console.log(`Warning: ${warning}.`);
  console.log(path === undefined ? 'The settings are valid.' : `The settings in ${path} are valid.`);
}

/** Settings that are set, and those whose default is one value. */
function rowsOf({ settings, originOf }: LoadedConfig): string[][] {
  return settings.used.flatMap(({ name, value, fallback }) => {
    const path = knownSetting(name)?.path ?? name;
    // 0 stands for what the machine gives.
    if (value === undefined)
      return [undefined, '0'].includes(fallback) ? [] : [[path, fallback ?? '', 'default']];
    const origin = originOf(name);
    return [[path, shown(name, value), origin === undefined ? name : `line ${origin.line}`]];
  });
}

/** Secrets, and passwords in URLs, are masked. */
function shown(name: string, value: string): string {
  const { setting } = knownSetting(name) ?? {};
  if (setting?.kind === 'works' && setting.secret === true) return '(secret)';
  const text = value.replace(/\/\/[^/@\s]*@/g, '//…@');
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
