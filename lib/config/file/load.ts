import { readConfig, type Config, type Program } from '../config.ts';
import { defaultFile } from '../defaults.ts';
import { Settings } from '../settings.ts';
import { asGiven, isSet, sourcesOf, type Environment } from '../variables.ts';
import { differences } from './differences.ts';
import { configurationPath, merge } from './merge.ts';

/** Settings from a file and the environment. */
export interface LoadedConfig {
  readonly config: Config;
  /** All settings as variables, for a process that must not read the file again. */
  readonly environment: Environment;
  readonly settings: Settings;
  /** The file, if there is one. */
  readonly path: string | undefined;
  /** Where a setting was set, such as `line 7` or the name of a variable. Empty for none. */
  readonly sourceOf: (name: string) => string;
  /** For a person: which defaults differ from distribution's. */
  readonly differences: string;
  /** For a person: settings without effect. */
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
  const sources = (name: string) => sourcesOf(variables, name);
  const settings = new Settings(environment, {
    shownAs: (name) => {
      const origin = originOf(name);
      return origin === undefined ? asGiven(variables, name) : `${origin.path} (line ${origin.line})`;
    },
    opensFiles: opensFiles(program),
  });
  for (const fault of faults) settings.fault(fault);
  const where = `in ${path} and the environment (where a.b.c is REGISTRY_A_B_C)`;
  const config = readConfig(program, settings, { where });
  const sourceOf = (name: string) => {
    const origin = originOf(name);
    const isOfFile = origin !== undefined && !isSet(variables[name]);
    return [...(isOfFile ? [`line ${origin.line}`] : []), ...sources(name)].join(', ');
  };
  return { ...quietly(config, settings, environment), path, sourceOf };
}

/** A data plane, a function and maintenance never read the passwords, nor the keys of tokens, at their start. */
function opensFiles(program: Program): boolean {
  return program === 'server';
}

function withoutFile(program: Program, environment: Environment): LoadedConfig {
  const settings = new Settings(environment, { opensFiles: opensFiles(program) });
  const config = readConfig(program, settings);
  const sourceOf = (name: string) => sourcesOf(environment, name).join(', ');
  return { ...quietly(config, settings, environment), path: undefined, sourceOf };
}

/** Makes a note of the settings without effect, so that the log of each worker need not name them. */
function quietly(
  config: Config,
  settings: Settings,
  environment: Environment,
): Omit<LoadedConfig, 'path' | 'sourceOf'> {
  const { ignored, ignoredWarning } = settings;
  const kept = Object.entries(environment).filter(([name]) => !ignored.includes(name));
  return {
    config: { ...config, warnings: config.warnings.filter((warning) => warning !== ignoredWarning) },
    environment: Object.fromEntries(kept),
    settings,
    differences: differences(environment),
    notes: ignoredWarning === undefined ? [] : [`T${ignoredWarning.slice(1)}.`],
  };
}
