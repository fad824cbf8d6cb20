import { listSetting, whole } from '../../lib/config/upstreams.ts';
import type { Parameters } from '../stack/parameters.ts';
import { passwordSettings } from '../stack/upstreams.ts';
import type { Values } from './rotation.ts';

/** The passwords of upstreams, which the template must not have. */
export interface UpstreamSecrets {
  readonly values: Values;
  /** For the person who deploys; undefined if nothing changes. */
  readonly note: string | undefined;
  readonly faults: readonly string[];
}

/** What the secret of upstreams has: what the environment gives, or what was stored. Those of upstreams that are gone are left out. */
export function planUpstreamSecrets(
  parameters: Pick<Parameters, 'settings'>,
  stored: Values,
  given: Values,
): UpstreamSecrets {
  const names = passwordSettings(parameters);
  const found = names.flatMap((name) => {
    const value = given[name] ?? stored[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const values: Values = Object.fromEntries(found);
  const notes = [...new Set([...Object.keys(stored), ...names])].flatMap((name) => {
    if (values[name] === stored[name]) return [];
    return values[name] === undefined
      ? [`${name} is removed with its upstream`]
      : [`${name} is taken from the environment`];
  });
  const missing = names.filter((name) => values[name] === undefined);
  const strays = Object.keys(given).filter((name) => mayBeMeant.test(name) && !names.includes(name));
  return {
    values,
    note: notes.length === 0 ? undefined : notes.join('; '),
    faults: [
      ...missing.map(
        (name) => `${name}: missing; set it in the environment of the first deployment, which keeps it`,
      ),
      ...strays.map((name) => strayFault(name, names)),
    ],
  };
}

const mayBeMeant = new RegExp(`^${listSetting}_.+_PASSWORD$|^${whole.password}$`);

/** It would be ignored. */
function strayFault(name: string, names: readonly string[]): string {
  return `${name}: no upstream with a username has that prefix${names.length === 0 ? '' : `; here they are ${names.join(', ')}`}`;
}
