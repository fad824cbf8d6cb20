import { loadConfig, type Config, type ReadOptions } from '../config/config.ts';
import { namedSecrets, withSecrets } from '../config/secrets.ts';

/**
 * The settings of a function: its environment, and the secrets that it names in `REGISTRY_SECRETS`. They are read at an
 * instance's start, and again only after a failure.
 * @throws ConfigError
 */
export async function loadSettings(
  program: 'functions' | 'maintenance',
  options: Pick<ReadOptions, 'signs'> = {},
): Promise<Config> {
  const ids = namedSecrets();
  if (ids.length === 0) return loadConfig(program, undefined, options);
  const { retrieveSecrets } = await import('../compose-secrets.ts');
  return loadConfig(program, withSecrets(await retrieveSecrets(ids)), options);
}
