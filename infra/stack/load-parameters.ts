import { loadParameters as load, type Parameters, type ParameterSources } from './parameters.ts';
import { settingFaults } from './settings-check.ts';

/**
 * The parameters of a stage, from its file below `root` and from the command line. The settings that the functions get are
 * checked as well, as they would be at the functions' start.
 * @throws ParameterError
 */
export function loadParameters(
  root: string,
  sources: Pick<ParameterSources, 'stage' | 'region' | 'overrides'>,
): Parameters {
  return load(root, { ...sources, checkSettings: settingFaults });
}
