import { randomBytes } from 'node:crypto';
import { ConfigError } from '../../lib/config/config.ts';
import { endpointsSetting, readNotifications } from '../../lib/config/notifications.ts';
import { Settings } from '../../lib/config/settings.ts';
import { givenWebhooks, type GivenWebhook } from '../stack/events.ts';
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
 * What the secret of webhooks has: what was stored, what the environment gives, and a new secret for each webhook without one. What
 * belongs to endpoints that are gone is left out; those that are disabled keep theirs.
 */
export function planEventSecrets(
  parameters: Pick<Parameters, 'settings'>,
  stored: Values,
  given: Values,
): EventSecrets {
  const webhooks = givenWebhooks(parameters);
  const isWanted = (name: string) =>
    webhooks.some(({ prefix }) => name.startsWith(prefix) && kept.test(name.slice(prefix.length)));
  const wanted = Object.entries({ ...stored, ...given }).filter(([name]) => isWanted(name));
  const generated = webhooks
    .filter(({ prefix, isDisabled }) => !isDisabled && !wanted.some(([name]) => isSecretOf(prefix, name)))
    .map(({ prefix }) => `${prefix}SECRET`);
  const values = {
    ...Object.fromEntries(wanted),
    ...Object.fromEntries(generated.map((name) => [name, randomBytes(32).toString('hex')])),
  };
  const strays = Object.keys(given).filter((name) => mayBeMeant.test(name) && !isWanted(name));
  return {
    values,
    note: noteOf(stored, values, generated),
    faults: [...strays.map((name) => strayFault(name, webhooks)), ...faultsOf(parameters, values)],
  };
}

/** What the secret keeps of an endpoint: a secret, a list of them in one variable or several, and headers. */
const kept = /^(SECRET(_\d+)?|HEADERS_.+)$/;

function isSecretOf(prefix: string, name: string): boolean {
  return name.startsWith(`${prefix}SECRET`) && kept.test(name.slice(prefix.length));
}

const mayBeMeant = new RegExp(`^${endpointsSetting}_.+_(SECRET(_\\d+)?|HEADERS_.+)$`);

/** It would be ignored. */
function strayFault(name: string, webhooks: readonly GivenWebhook[]): string {
  const examples = webhooks.map(({ prefix }) => `${prefix}SECRET`);
  return `${name}: no webhook has that name; here they are ${examples.join(', ')} and …_HEADERS_…`;
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
