import { randomBytes } from 'node:crypto';
import { ConfigError } from '../../lib/config/config.ts';
import { endpointsSetting, readNotifications } from '../../lib/config/notifications.ts';
import { Settings } from '../../lib/config/settings.ts';
import { webhookIndexes } from '../stack/events.ts';
import type { Parameters } from '../stack/parameters.ts';
import type { Values } from './rotation.ts';

/** The secrets and headers of webhooks, which the template must not have. */
export interface EventSecrets {
  readonly values: Values;
  /** For the person who deploys; undefined if nothing changes. */
  readonly note: string | undefined;
  readonly faults: readonly string[];
}

/**
 * What the secret of webhooks has: what was stored, what the environment gives, and a new secret for each webhook without one.
 * Entries of endpoints that are gone are left out.
 */
export function planEventSecrets(
  parameters: Pick<Parameters, 'settings'>,
  stored: Values,
  given: Values,
): EventSecrets {
  const prefixes = webhookIndexes(parameters).map((index) => `${endpointsSetting}_${index}_`);
  const isWanted = (name: string) =>
    prefixes.some((prefix) => name.startsWith(`${prefix}SECRET`) || name.startsWith(`${prefix}HEADERS_`));
  const wanted = Object.entries({ ...stored, ...given }).filter(([name]) => isWanted(name));
  const generated = prefixes
    .map((prefix) => `${prefix}SECRET`)
    .filter((name) => !wanted.some(([other]) => other.startsWith(name)));
  const values = {
    ...Object.fromEntries(wanted),
    ...Object.fromEntries(generated.map((name) => [name, randomBytes(32).toString('hex')])),
  };
  return { values, note: noteOf(stored, values, generated), faults: faultsOf(parameters, values) };
}

function noteOf(stored: Values, values: Values, generated: readonly string[]): string | undefined {
  const names = [...new Set([...Object.keys(stored), ...Object.keys(values)])];
  const notes = names.flatMap((name) => {
    if (generated.includes(name)) return [`${name} is generated`];
    if (values[name] === undefined) return [`${name} is removed with its endpoint`];
    return values[name] === stored[name] ? [] : [`${name} is taken from the environment`];
  });
  return notes.length === 0 ? undefined : notes.join('; ');
}

function faultsOf({ settings }: Pick<Parameters, 'settings'>, values: Values): readonly string[] {
  const reader = new Settings({ [endpointsSetting]: settings[endpointsSetting], ...values });
  readNotifications(reader, false);
  try {
    reader.finish();
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
}
