import { isServiceLink } from '../service-links.ts';
import { isSet, sectionsIn, withUsualNames, variableOf, type Environment } from '../variables.ts';
import { drivers, type FlatFile } from './flatten.ts';

/** The variables of a file, overridden by those of the environment. */
export interface Merged {
  readonly environment: Environment;
  readonly faults: readonly string[];
}

/**
 * Overrides the settings of a file by variables, as distribution does, where one of a whole section replaces that section. There
 * are two differences. An empty variable overrides nothing. One that chooses another driver leaves `storage.delete` and
 * `storage.maintenance` of the file as they are.
 */
export function merge({ variables, faults }: FlatFile, environment: Environment): Merged {
  const given = withUsualNames(
    Object.fromEntries(
      Object.entries(environment).filter(([name, value]) => name !== configurationPath && isSet(value)),
    ),
  );
  const chosen = chooser(given);
  const sections = sectionsIn(environment);
  const kept = [...variables].filter(
    ([name]) => chosen(name) && !sections.some((section) => name.startsWith(`${section}_`)),
  );
  return {
    environment: { ...Object.fromEntries(kept), ...given },
    faults: [...faults, ...driverFaults(Object.fromEntries(kept), given)],
  };
}

export const configurationPath = 'REGISTRY_CONFIGURATION_PATH';

/** Settings of the file for another driver than the one in the environment are left out, and likewise for the others. */
function chooser(given: Environment): (name: string) => boolean {
  const storage = given['REGISTRY_STORAGE']?.trim().toUpperCase();
  const auth = given['REGISTRY_AUTH']?.trim().toUpperCase();
  const search = given['SEARCH_BACKEND']?.trim().toUpperCase();
  const usesPasswords = auth === 'HTPASSWD' || auth === 'POLICY';
  return (name) => {
    const driver = driverOf(name);
    if (storage !== undefined && driver !== undefined) return driver === storage;
    const [, kind] = /^REGISTRY_AUTH_([A-Z]+)_/.exec(name) ?? [];
    if (auth !== undefined && kind !== undefined)
      return kind === auth || (kind === 'HTPASSWD' && usesPasswords);
    const [, backend] = /^SEARCH_BACKEND_([A-Z]+)$/.exec(name) ?? [];
    return search === undefined || backend === undefined || backend === search;
  };
}

function driverOf(name: string): string | undefined {
  return drivers.find((driver) => name.startsWith(`REGISTRY_STORAGE_${driver}_`));
}

/** Distribution, too, refuses settings of a second driver. */
function driverFaults(file: Environment, given: Environment): string[] {
  const ofFile = file[variableOf('storage')]?.toUpperCase();
  if (ofFile === undefined || given['REGISTRY_STORAGE'] !== undefined) return [];
  const [other] =
    Object.entries(given).find(
      ([name, value = '']) =>
        ![undefined, ofFile].includes(driverOf(name)) && !isServiceLink(given, name, value),
    ) ?? [];
  return other === undefined
    ? []
    : [
        `${other}: the file has the driver ${ofFile.toLowerCase()}; set REGISTRY_STORAGE=${(driverOf(other) ?? '').toLowerCase()} as well, or remove it`,
      ];
}
