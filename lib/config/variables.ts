import { parseFlow } from './flow.ts';
import { settingTable, type Setting } from './setting-table.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** A setting of the table, by its variable. */
export interface KnownSetting {
  /** Its path in the file, such as `http.addr`. */
  readonly path: string;
  readonly name: string;
  readonly setting: Setting;
}

/** The variable of a path: `a.b.c` is `REGISTRY_A_B_C`. Those of the original registry's search have no prefix. */
export function variableOf(path: string): string {
  return (path.startsWith('search.') ? path : `registry.${path}`).replaceAll('.', '_').toUpperCase();
}

const known: readonly KnownSetting[] = Object.entries(settingTable).map(([path, setting]) => ({
  path,
  name: variableOf(path),
  setting,
}));

const byName: ReadonlyMap<string, KnownSetting> = new Map(known.map((one) => [one.name, one]));

/** Whether a variable may be a setting of the table, or a section of them. All others of the process are skipped early. */
export function mayBeSetting(name: string): boolean {
  return /^(REGISTRY|SEARCH)(_|$)/.test(name);
}

/** Whether the program runs in the image, whose Dockerfile sets this. */
export function isImage(environment: Environment): boolean {
  return environment['STOWAGE_IMAGE'] === 'true';
}

/** The longest first, so that the closest one is found. */
const sections = known
  .filter(({ setting }) => setting.below === true)
  .sort((a, b) => b.name.length - a.name.length);

/** The setting of a variable, or the section or list that it belongs to. */
export function knownSetting(name: string): KnownSetting | undefined {
  return byName.get(name) ?? sections.find((one) => name.startsWith(`${one.name}_`));
}

/** The value of a list or map, for a comparison; the text itself if it is neither. */
export function valueOf(text: string): unknown {
  try {
    return parseFlow(text);
  } catch {
    return text;
  }
}

/**
 * Gives settings their usual names and forms:
 * - the older names `s3aws` and `REGISTRY_LOGLEVEL`
 * - a whole section as a map, such as `REGISTRY_STORAGE_DELETE={enabled: true}`, becomes its settings
 * - a list of words in brackets becomes words between commas
 * - `REGISTRY_HTTP_TLS_CLIENTCAS_0` and `REGISTRY_LOG_FIELDS_SERVICE`, which set an entry of a list or map in distribution, are
 *   put into it; `REGISTRY_NOTIFICATIONS_ENDPOINTS_BUILDS_SECRET`, into the entry whose name is `builds`,
 *   and `REGISTRY_PROXY_UPSTREAMS_DOCKER_HUB_PASSWORD`, into the one whose prefix is `docker-hub/**`
 */
export function normalize(environment: Environment): Environment {
  const variables = withUsualNames(environment);
  const names = Object.keys(variables).filter(mayBeSetting);
  for (const name of names.toSorted()) placeEntry(variables, name);
  for (const [name, value] of Object.entries(variables))
    if (value?.trim().startsWith('[') === true && formOf(byName.get(name)) === 'words')
      variables[name] = joinWords(valueOf(value)) ?? value;
  return variables;
}

/** The first step of {@link normalize}: entries of lists and maps stay as they are. */
export function withUsualNames(environment: Environment): Record<string, string | undefined> {
  const variables: Record<string, string | undefined> = { ...environment };
  for (const [name, value] of Object.entries(environment)) {
    const usual = usualName(name);
    if (usual === name || !isSet(value)) continue;
    if (!isSet(variables[usual])) variables[usual] = value;
    variables[name] = undefined;
  }
  if (/^s3aws$/i.test(variables['REGISTRY_STORAGE']?.trim() ?? '')) variables['REGISTRY_STORAGE'] = 's3';
  for (const name of Object.keys(variables).filter((one) => mayBeSetting(one) && isSectionName(one))) {
    const section = sectionIn(variables[name]);
    if (section === undefined) continue;
    variables[name] = undefined;
    for (const [inner, value] of settingsIn(name, section))
      // The variable with the longer name has the last word, as in distribution.
      if (!isSet(variables[inner])) variables[inner] = value;
  }
  return variables;
}

/** Whether a variable stands for a section, which has a value only in the settings below it. */
export function isSectionName(name: string): boolean {
  return !byName.has(name) && known.some((one) => one.name.startsWith(`${name}_`));
}

/** The variables that were set for a setting: itself or its older name, those of its entries, or that of its section. */
export function sourcesOf(environment: Environment, name: string): readonly string[] {
  const given = Object.keys(environment).filter((one) => isSet(environment[one]));
  const whole = given.includes(name) ? [name] : given.filter((one) => usualName(one) === name);
  const section = given.filter(
    (one) =>
      name.startsWith(`${usualName(one)}_`) && isSectionName(usualName(one)) && sectionIn(environment[one]),
  );
  const entries = given.filter((one) => one !== name && !byName.has(one) && knownSetting(one)?.name === name);
  return [
    ...(whole.length > 0 ? whole : section),
    ...(formOf(byName.get(name)) === undefined ? [] : entries),
  ];
}

/** A setting for a message, by the name with which it was set. */
export function asGiven(environment: Environment, name: string): string {
  const sources = sourcesOf(environment, name);
  const section = sources.find((one) => name.startsWith(`${usualName(one)}_`));
  return section === undefined ? sources.join(', ') || name : `${name} (in ${section})`;
}

/** The sections that are given as a map in one variable, by their usual names. */
export function sectionsIn(environment: Environment): readonly string[] {
  return Object.entries(environment).flatMap(([name, value]) => {
    const usual = usualName(name);
    return isSectionName(usual) && sectionIn(value) !== undefined ? [usual] : [];
  });
}

type Section = Readonly<Record<string, unknown>>;

function sectionIn(text: string | undefined): Section | undefined {
  const value = text?.trim().startsWith('{') === true ? valueOf(text) : undefined;
  return typeof value === 'object' && value !== null ? (value as Section) : undefined;
}

function settingsIn(parent: string, section: Section): [string, string][] {
  return Object.entries(section).flatMap(([key, value]): [string, string][] => {
    const name = usualName(`${parent}_${key.toUpperCase()}`);
    if (value === null) return [];
    if (typeof value !== 'object') return [[name, typeof value === 'string' ? value : JSON.stringify(value)]];
    return isSectionName(name) && !Array.isArray(value)
      ? settingsIn(name, value as Section)
      : [[name, JSON.stringify(value)]];
  });
}

export function isSet(value: string | undefined): value is string {
  return value !== undefined && value.trim() !== '';
}

function usualName(name: string): string {
  return name === 'REGISTRY_LOGLEVEL'
    ? 'REGISTRY_LOG_LEVEL'
    : name.replace(/^REGISTRY_STORAGE_S3AWS_/, 'REGISTRY_STORAGE_S3_');
}

function formOf(one: KnownSetting | undefined): 'list' | 'map' | 'words' | undefined {
  return one?.setting.kind === 'works' ? one.setting.form : undefined;
}

/** Texts between commas. A platform is `os/architecture`. Undefined if there is something else in the list. */
export function joinWords(value: unknown): string | undefined {
  if (!Array.isArray(value)) return undefined;
  const words = value.map((item: unknown) => {
    if (typeof item !== 'object' || item === null) return String(item);
    const { os, architecture } = item as Record<string, unknown>;
    return typeof os === 'string' && typeof architecture === 'string' ? `${os}/${architecture}` : undefined;
  });
  return words.every((word) => word !== undefined) ? words.join(',') : undefined;
}

/** Puts a variable that sets one entry into its list or map. If that is impossible it stays, and is refused as unknown. */
function placeEntry(variables: Record<string, string | undefined>, name: string): void {
  const value = variables[name];
  const collection = byName.has(name) ? undefined : knownSetting(name);
  const form = formOf(collection);
  if (collection === undefined || form === undefined || !isSet(value)) return;
  const whole = variables[collection.name];
  const before = isSet(whole) ? entriesOf(whole, form) : form === 'map' ? {} : [];
  const keys = keysOf(before, name.slice(collection.name.length + 1));
  const after = withEntry(before, keys, valueOf(value));
  if (after === undefined) return;
  variables[collection.name] = JSON.stringify(after);
  variables[name] = undefined;
}

/** An entry's name as variables have it: `MY_CI` for `my-ci`. */
export function variablePart(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}

/** The keys in `0_SECRET`, or in `MY_CI_SECRET` where an entry of a list has that name. */
function keysOf(whole: unknown, path: string): readonly string[] {
  const names = Array.isArray(whole) ? whole.map(nameOf) : [];
  const [name] = names
    .filter((one) => one !== '' && path.startsWith(`${one}_`))
    .sort((a, b) => b.length - a.length);
  if (name === undefined) return path.split('_');
  return [String(names.indexOf(name)), ...path.slice(name.length + 1).split('_')];
}

/** A prefix of repositories as variables have it: `DOCKER_HUB` for `docker-hub/**`. */
export function prefixPart(prefix: string): string {
  return prefix
    .replace(/\/\*\*$/, '')
    .toUpperCase()
    .replaceAll(/[^A-Z0-9]+/g, '_');
}

/** Of an upstream, the prefix is the name. */
function nameOf(entry: unknown): string {
  const { name, prefix } = Object(entry) as Record<string, unknown>;
  if (typeof name === 'string') return variablePart(name);
  return typeof prefix === 'string' ? prefixPart(prefix) : '';
}

function entriesOf(whole: string, form: 'list' | 'map' | 'words'): unknown {
  const value = valueOf(whole);
  return form === 'words' && typeof value === 'string' ? value.split(/[\s,]+/) : value;
}

/** As in distribution: an item is replaced or appended, the key of a map is found in any case, else it is in lower case. */
function withEntry(whole: unknown, [first = '', ...rest]: readonly string[], value: unknown): unknown {
  const inner = (before: unknown) =>
    rest.length === 0 ? value : withEntry(before ?? (rest[0] === '0' ? [] : {}), rest, value);
  if (Array.isArray(whole)) {
    const index = Number(first);
    if (!/^\d{1,3}$/.test(first) || index > whole.length) return undefined;
    const item = inner(whole[index]);
    return item === undefined ? undefined : whole.toSpliced(index, 1, item);
  }
  if (typeof whole !== 'object' || whole === null) return undefined;
  const key = Object.keys(whole).find((one) => one.toUpperCase() === first) ?? first.toLowerCase();
  const item = inner(new Map(Object.entries(whole)).get(key));
  return item === undefined ? undefined : Object.fromEntries([...Object.entries(whole), [key, item]]);
}
