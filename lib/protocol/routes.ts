import { parseDigest, type Digest } from './digests.ts';
import { RegistryError } from './errors.ts';
import { parseRepositoryName, type RepositoryName } from './names.ts';
import { parseReference, type Reference } from './references.ts';

/** The route groups. Each is deployed as a function, except that `base` serves the paths of `health` too. */
export const groups = [
  'health',
  'token',
  'base',
  'extensions',
  'catalog',
  'search',
  'tags',
  'manifests',
  'referrers',
  'blobs',
  'uploads',
] as const;

export type Group = (typeof groups)[number];

/** A parsed request path, with the endpoints of the OCI Distribution Spec. */
export type Route =
  /** `/` and `/livez`, `/readyz`: whether the process runs, and whether it should get requests */
  | { readonly group: 'health'; readonly check: 'live' | 'ready' }
  /** The token service (Docker Registry v2 authentication, "Token Authentication Specification") */
  | { readonly group: 'token' }
  /** end-1 */
  | { readonly group: 'base' }
  /** OCI Distribution Spec, extensions/_oci.md, "discover": for the registry or a repository */
  | { readonly group: 'extensions' }
  /** Docker Registry HTTP API V2, "Listing Repositories" */
  | { readonly group: 'catalog' }
  /** Docker Registry API V1, "Ping" and "Search", for `docker search` and `podman search` */
  | { readonly group: 'search'; readonly resource: 'ping' | 'results' }
  /** end-8 */
  | { readonly group: 'tags'; readonly name: RepositoryName }
  /** end-3, end-7, end-9 */
  | { readonly group: 'manifests'; readonly name: RepositoryName; readonly reference: Reference }
  /** end-12 */
  | { readonly group: 'referrers'; readonly name: RepositoryName; readonly digest: Digest }
  /** end-2, end-10 */
  | { readonly group: 'blobs'; readonly name: RepositoryName; readonly digest: Digest }
  /** end-4, end-11; with an id end-5, end-6, end-13, end-14 */
  | { readonly group: 'uploads'; readonly name: RepositoryName; readonly id: string | undefined };

/** A matched path below `/v2/` or `/v1/`, or one of a single segment, not yet validated. */
export interface RawRoute {
  readonly group: Group;
  /** Segments of the repository name, if any. */
  readonly name: readonly string[];
  /** The last segment if it is a reference, digest, upload or resource. */
  readonly leaf: string | undefined;
}

interface Pattern {
  readonly group: Group;
  /** The first segment; v2 by default. */
  readonly version?: 'v1' | 'token' | '' | 'livez' | 'readyz';
  /** Whether a repository name precedes `tail`. */
  readonly named: boolean;
  /** Segments; those in braces match any value. */
  readonly tail: readonly string[];
  /** The method that clients also send with a trailing slash. */
  readonly slash?: 'GET' | 'POST';
}

/**
 * All routes. A repository name may contain any of these words (`a/tags/list` is a repository), so paths are matched from
 * their end, where at most one pattern fits. Only a blob called `uploads` is ambiguous; the literal comes first.
 */
const patterns: readonly Pattern[] = [
  { group: 'health', version: '', named: false, tail: [] },
  { group: 'health', version: 'livez', named: false, tail: [] },
  { group: 'health', version: 'readyz', named: false, tail: [] },
  { group: 'token', version: 'token', named: false, tail: [] },
  { group: 'base', named: false, tail: [], slash: 'GET' },
  { group: 'extensions', named: false, tail: ['_oci', 'ext', 'discover'] },
  { group: 'extensions', named: true, tail: ['_oci', 'ext', 'discover'] },
  { group: 'catalog', named: false, tail: ['_catalog'] },
  { group: 'search', version: 'v1', named: false, tail: ['_ping'] },
  { group: 'search', version: 'v1', named: false, tail: ['search'] },
  { group: 'tags', named: true, tail: ['tags', 'list'] },
  { group: 'manifests', named: true, tail: ['manifests', '{reference}'] },
  { group: 'referrers', named: true, tail: ['referrers', '{digest}'] },
  { group: 'uploads', named: true, tail: ['blobs', 'uploads'], slash: 'POST' },
  { group: 'uploads', named: true, tail: ['blobs', 'uploads', '{id}'] },
  { group: 'blobs', named: true, tail: ['blobs', '{digest}'] },
];

/**
 * Matches a path; undefined if no route does.
 * @param path as sent, without query
 */
export function matchPath(path: string): RawRoute | undefined {
  const [root, version, ...segments] = path.replaceAll(/%3a/gi, ':').split('/');
  if (root !== '') return undefined;
  const slash = segments.at(-1) === '';
  if (slash) segments.pop();
  const pattern = patterns.find(
    (p) => (p.version ?? 'v2') === version && (p.slash !== undefined || !slash) && fits(p, segments),
  );
  if (pattern === undefined) return undefined;
  const hasLeaf = pattern.group === 'search' || pattern.tail.at(-1)?.startsWith('{') === true;
  const leaf = pattern.group === 'health' ? version : hasLeaf ? segments.at(-1) : undefined;
  return { group: pattern.group, name: segments.slice(0, segments.length - pattern.tail.length), leaf };
}

function fits({ named, tail }: Pattern, segments: readonly string[]): boolean {
  const nameLength = segments.length - tail.length;
  if (named ? nameLength < 1 : nameLength !== 0) return false;
  return tail.every((part, i) => part.startsWith('{') || part === segments[nameLength + i]);
}

/**
 * Parses and validates a path. Only colons are percent-decoded, since jib encodes them in digests. Nothing else in a path
 * needs encoding, and a second spelling would bypass proxies that allow only some paths.
 * @throws RegistryError ROUTE_UNKNOWN, NAME_INVALID, TAG_INVALID or DIGEST_INVALID
 */
export function parseRoute(path: string): Route {
  try {
    return readRoute(path);
  } catch (error) {
    throw error instanceof RegistryError && path.includes('%') ? withAdvice(error) : error;
  }
}

/** Adds a hint for clients that percent-encode more than colons. */
function withAdvice({ failure, message, errors }: RegistryError): RegistryError {
  const details = errors.flatMap(({ detail }) => (detail === undefined ? [] : [detail]));
  return new RegistryError(
    failure,
    `${message}; in a path nothing but a colon may be percent-encoded`,
    details,
  );
}

function readRoute(path: string): Route {
  const raw = matchPath(path);
  if (raw === undefined) throw new RegistryError('ROUTE_UNKNOWN');
  const { group, leaf = '' } = raw;
  if (group === 'health') return { group, check: leaf === 'readyz' ? 'ready' : 'live' };
  if (group === 'token' || group === 'base' || group === 'catalog') return { group };
  if (group === 'search') return { group, resource: leaf === '_ping' ? 'ping' : 'results' };
  if (group === 'extensions' && raw.name.length === 0) return { group };
  const name = parseRepositoryName(raw.name.join('/'));
  switch (group) {
    case 'extensions':
      return { group };
    case 'tags':
      return { group, name };
    case 'manifests':
      return { group, name, reference: parseReference(leaf) };
    case 'referrers':
    case 'blobs':
      return { group, name, digest: parseDigest(leaf) };
    case 'uploads':
      return { group, name, id: raw.leaf };
  }
}

/** Segments of the longest repository name with routes at the gateway. */
export const routedSegments = 4;

export interface GatewayRoute {
  readonly group: Group;
  /** `*` matches all. */
  readonly method: '*' | 'GET' | 'POST';
  /** `{...}` matches one segment. */
  readonly path: string;
}

/**
 * The gateway's routes. A gateway variable cannot contain slashes, so each pattern is repeated for names of 1 to
 * {@link routedSegments} segments; the function with all groups serves everything else. A trailing slash is a separate route
 * for one method only: serverless-offline drops the slash and refuses duplicate routes.
 */
export function gatewayRoutes(): GatewayRoute[] {
  return patterns.flatMap(({ group, version = 'v2', named, tail, slash }) =>
    (named ? nameVariables() : [[]]).flatMap((name): GatewayRoute[] => {
      const path = [`/${version}`, ...name, ...tail].join('/');
      const route = { group, method: '*', path } as const;
      return slash === undefined ? [route] : [route, { group, method: slash, path: `${path}/` }];
    }),
  );
}

/** `[{n1}]`, `[{n1}, {n2}]`, … */
function nameVariables(): string[][] {
  return Array.from({ length: routedSegments }, (_, i) =>
    Array.from({ length: i + 1 }, (__, j) => `{n${j + 1}}`),
  );
}
