import { Settings } from '../../lib/config/settings.ts';
import { copySetting, listSetting, readUpstreams, whole } from '../../lib/config/upstreams.ts';
import { prefixPart, valueOf } from '../../lib/config/variables.ts';
import { functionName, type FunctionName } from '../gateway.ts';
import type { Parameters } from './parameters.ts';
import type { Value } from './template.ts';

type WithSettings = Pick<Parameters, 'settings'>;

/** An upstream as it is given. */
export type GivenUpstream = Readonly<Record<string, unknown>>;

/** The entries of the list. Faults are left to the check of settings. */
export function givenUpstreams({ settings }: WithSettings): readonly GivenUpstream[] {
  const value = valueOf(settings[listSetting] ?? '');
  return Array.isArray(value) ? value.map((one: unknown) => Object(one) as GivenUpstream) : [];
}

/** Whether repositories are caches of other registries. */
export function hasUpstreams({ settings }: WithSettings): boolean {
  return readUpstreams(new Settings(withoutUsers(settings))).length > 0;
}

/** Functions that ask upstreams. The data plane does, too. */
export const asking = [
  'tags',
  'manifests',
  'referrers',
  'blobs',
  'all',
  'copy',
] as const satisfies readonly FunctionName[];

/** Functions that invoke `copy`. It invokes itself when its time is over. */
export const invoking = ['blobs', 'all', 'copy'] as const satisfies readonly FunctionName[];

/** The setting with the password of an upstream, by its prefix: it stays its own where the list has another order. */
export function passwordSetting(prefix: unknown): string {
  return `${listSetting}_${typeof prefix === 'string' ? prefixPart(prefix) : 'PREFIX'}_PASSWORD`;
}

/** The settings with the passwords of upstreams that have users, which are in a secret. */
export function passwordSettings(parameters: WithSettings): readonly string[] {
  const ofList = givenUpstreams(parameters).flatMap(({ username, prefix }) =>
    username === undefined ? [] : [passwordSetting(prefix)],
  );
  return parameters.settings[whole.user] === undefined ? ofList : [whole.password, ...ofList];
}

/** For who does not ask upstreams, and needs no more than their prefixes: a user without a password is a fault. */
export function withoutUsers(settings: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const entries = givenUpstreams({ settings });
  const others = without(settings, whole.user);
  return entries.some(({ username }) => username !== undefined)
    ? { ...others, [listSetting]: JSON.stringify(entries.map((entry) => without(entry, 'username'))) }
    : others;
}

function without<T>(fields: Readonly<Record<string, T>>, name: string): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(fields).filter(([one]) => one !== name));
}

/** The setting of functions that answer requests, and of `copy` itself. */
export function copySettings(
  parameters: Pick<Parameters, 'settings' | 'stage'>,
): Readonly<Record<string, Value>> {
  return hasUpstreams(parameters) ? { [copySetting]: functionName('copy', parameters.stage) } : {};
}
