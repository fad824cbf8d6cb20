import { readConfig, type Config, type Program } from '../config.ts';
import { defaultFile } from '../defaults.ts';
import { Settings } from '../settings.ts';
import { isSet, type Environment } from '../variables.ts';
import type { Origin } from './flatten.ts';
import { configurationPath, merge } from './merge.ts';

/** Settings from a file and the environment. */
export interface LoadedConfig {
  readonly config: Config;
  /** All settings as variables, for a process that must not read the file again. */
  readonly environment: Environment;
  readonly settings: Settings;
  /** The file, if there is one. */
  readonly path: string | undefined;
  /** Where a variable of the file is in it; undefined for one of the environment. */
  readonly originOf: (name: string) => Origin | undefined;
  /** For a person, at the start: defaults that differ from distribution's, and settings without effect. */
  readonly notes: readonly string[];
}

/**
 * Reads the settings from a configuration file of distribution and the environment, which overrides it.
 * @param file given on the command line; `REGISTRY_CONFIGURATION_PATH` by default. Without either, the environment is all.
 * @throws ConfigError with every fault of both
 */
export async function loadConfigFile(
  program: Program,
  file: string | undefined,
  variables: Environment = process.env,
): Promise<LoadedConfig> {
  const named = variables[configurationPath];
  const path = file ?? (isSet(named) ? named.trim() : defaultFile(variables));
  if (path === undefined) return withoutFile(program, variables);
  // The YAML library is for files alone.
  const [{ readDocument }, { flatten }] = await Promise.all([
    import('./document.ts'),
    import('./flatten.ts'),
  ]);
  const flat = flatten(await readDocument(path));
  const { environment, faults } = merge(flat, variables);
  const originOf = (name: string) =>
    environment[name] === flat.variables.get(name) ? flat.origins.get(name) : undefined;
  const settings = new Settings(environment, (name) => {
    const origin = originOf(name);
    return origin === undefined ? name : `${origin.path} (line ${origin.line})`;
  });
  for (const fault of faults) settings.fault(fault);
  const where = `in ${path} and the environment (where a.b.c is REGISTRY_A_B_C)`;
  const config = readConfig(program, settings, where);
  return { ...quietly(config, settings, environment, differences(environment)), path, originOf };
}

function withoutFile(program: Program, environment: Environment): LoadedConfig {
  const settings = new Settings(environment);
  const config = readConfig(program, settings);
  return { ...quietly(config, settings, environment, []), path: undefined, originOf: () => undefined };
}

/** Makes a note of the settings without effect, so that the log of each worker need not name them. */
function quietly(
  config: Config,
  settings: Settings,
  environment: Environment,
  notes: readonly string[],
): Omit<LoadedConfig, 'path' | 'originOf'> {
  const { ignored, ignoredWarning } = settings;
  const kept = Object.entries(environment).filter(([name]) => !ignored.includes(name));
  return {
    config: { ...config, warnings: config.warnings.filter((warning) => warning !== ignoredWarning) },
    environment: Object.fromEntries(kept),
    settings,
    notes: ignoredWarning === undefined ? notes : [...notes, `T${ignoredWarning.slice(1)}.`],
  };
}

/** Defaults of this registry that a user of distribution does not expect, the most important one first. */
function differences(environment: Environment): string[] {
  const has = (name: string) => environment[name] !== undefined;
  const purging = 'REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING';
  const purges =
    environment[`${purging}_ENABLED`] !== 'false' &&
    environment[purging]?.includes('"enabled":false') !== true;
  const differing = [
    ...(has('REGISTRY_STORAGE_DELETE_ENABLED') ? [] : ['deletes are allowed (storage.delete.enabled)']),
    ...(purges ? ['abandoned uploads stay until stowage purge-uploads runs'] : []),
    ...(has('REGISTRY_LOG_FORMATTER') ? [] : ['the log is JSON (log.formatter)']),
    ...(has('REGISTRY_HTTP_TLS_CERTIFICATE') && !has('REGISTRY_HTTP_HTTP2_DISABLED')
      ? ['HTTP/2 is off (http.http2.disabled)']
      : []),
    'manifests may name layers on other servers by URL',
  ];
  return [`Defaults that differ from those of distribution: ${differing.join('; ')}.`];
}
