import { userInfo } from 'node:os';
import { immutableTagsOf } from '../../compose-rules.ts';
import { createMaintenance, type Maintenance } from '../../compose.ts';
import { assertWritable, type Config } from '../../config/config.ts';
import { loadConfigFile } from '../../config/file/load.ts';
import { createLogger } from '../../logging/logger.ts';
import type { RepositoryName } from '../../protocol/names.ts';
import type { Immutable } from '../../registry/interface.ts';
import { assertFolderExists, onDamaged } from '../command.ts';

/** What the commands work on that look at tags and bring them back. */
export interface Opened extends Maintenance {
  readonly config: Config;
}

/**
 * Opens the storage of a registry.
 * @param file a configuration file
 * @throws ConfigError; Error if it is to be changed and is read-only
 */
export async function openStorage(
  file: string | undefined,
  { writes: asked }: { readonly writes: boolean | 'unless read-only' },
): Promise<Opened> {
  const { config } = await loadConfigFile('maintenance', file);
  const writes = asked === 'unless read-only' ? !config.readOnly : asked;
  if (writes) assertWritable(config);
  assertFolderExists(config.storage);
  const opened = writes ? config : { ...config, readOnly: true };
  const maintenance = await createMaintenance(opened, onDamaged, { check: writes, announces: writes });
  return { ...maintenance, config };
}

/**
 * The immutable tags of a repository, as the policy in the settings says; undefined if it has none.
 * @throws RegistryError UNAVAILABLE if there is no valid policy
 */
export async function immutableTags(opened: Opened, name: RepositoryName): Promise<Immutable | undefined> {
  return (await immutableTagsOf(opened.config, opened.store))(name);
}

/** Logs a change on standard error, where the registry logs writes, too: if it has access control. */
export function logChange(
  { config }: Opened,
  fields: { readonly command: string } & Readonly<Record<string, unknown>>,
): void {
  if (config.auth.kind === 'none') return;
  const log = createLogger({ ...config.log, level: 'info' }, process.stderr).child({ audit: true });
  log.info({ actor: operator(), ...fields }, 'granted');
}

/** Who runs a command, for the audit log and the history of tags. */
export function operator(): string {
  return `operator:${userName()}`;
}

/** The user of the operating system, or its number where it has no name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown');
  }
}
