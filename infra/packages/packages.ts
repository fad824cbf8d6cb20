import { functionNames, thirdPartyFile } from '../gateway.ts';
import type { Chunks } from './chunks.ts';
import { features, optionalModules, type Feature } from './optional.ts';

/** The files of a function's package, by when they are loaded. Paths are relative to the project. */
export interface Package {
  /** Loaded at each cold start. */
  readonly start: readonly string[];
  /** Loaded on demand, in any deployment. */
  readonly onDemand: readonly string[];
  /** Loaded on demand in deployments with this feature. A file may be in several of them. */
  readonly byFeature: Readonly<Record<Feature, readonly string[]>>;
}

export type Packages = Readonly<Record<string, Package>>;

/** Written by `npm run build`. */
export const packagesFile = 'dist/packages.json';

/**
 * The packages of all functions. Source maps are in none.
 * @throws Error naming rows of the table of optional modules that are out of date
 */
export function describePackages(chunks: Chunks): Packages {
  const modules = [...chunks.dynamicModules()];
  const stale = optionalModules.filter((row) => !modules.some((module) => module.startsWith(row.module)));
  if (stale.length > 0)
    throw new Error(
      `nothing loads ${stale.map(({ module }) => module).join(', ')} on demand: correct infra/packages/optional.ts`,
    );
  return Object.fromEntries(functionNames.map((name) => [name, describePackage(chunks, name)]));
}

function describePackage(chunks: Chunks, name: string): Package {
  const entry = `dist/functions/${name}.mjs`;
  const reached = (feature?: Feature) =>
    chunks.reachableFrom(entry, (module) => isLoaded(module, name, feature));
  const start = chunks.loadedWith(entry);
  const always = reached();
  return {
    start: [...start],
    onDemand: [...always.difference(start)],
    byFeature: Object.fromEntries(
      features.map((feature) => [feature, [...reached(feature).difference(always)]]),
    ) as Record<Feature, string[]>,
  };
}

/** @param feature the only one of a deployment; a deployment with several can load what each of them can */
function isLoaded(module: string, functionName: string, feature: Feature | undefined): boolean {
  const rows = optionalModules.filter((row) => module.startsWith(row.module));
  return (
    rows.length === 0 ||
    rows.some(
      (row) => row.functions.includes(functionName) && (row.feature === undefined || row.feature === feature),
    )
  );
}

/** The files of a function's package in a deployment with these features. */
export function filesOf(one: Package, wanted: Iterable<Feature> = features): string[] {
  const optional = [...wanted].flatMap((feature) => one.byFeature[feature]);
  return [...new Set([...one.start, ...one.onDemand, ...optional, thirdPartyFile])].sort();
}

/** What decides which features a deployment has. */
export interface Deployment {
  readonly storage: 's3' | 'scs';
  readonly search: 'bucket' | 'mysql';
  readonly auth: 'policy' | 'htpasswd' | 'none';
  /** Further settings of its functions. */
  readonly settings: Readonly<Record<string, string>>;
}

export function featuresOf({ storage, search, auth, settings }: Deployment): Feature[] {
  const has = (prefix: string) => Object.keys(settings).some((name) => name.startsWith(prefix));
  const chosen: [Feature, boolean][] = [
    [storage, true],
    ['mysql', search === 'mysql'],
    ['policy', auth === 'policy'],
    ['retention', has('REGISTRY_RETENTION_')],
    ['htpasswd', auth === 'htpasswd'],
    ['tracing', has('OTEL_')],
    ['cloudwatch', has('REGISTRY_METRICS_CLOUDWATCH_')],
    ['events', has('REGISTRY_NOTIFICATIONS_')],
    ['cache', has('REGISTRY_PROXY_')],
  ];
  return chosen.flatMap(([feature, isThere]) => (isThere ? [feature] : []));
}
