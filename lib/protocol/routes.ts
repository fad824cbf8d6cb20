import { parseDigest, type Digest } from './digests.ts';
import { RegistryError } from './errors.ts';
import { parseRepositoryName, type RepositoryName } from './names.ts';
import { parseReference, type Reference } from './references.ts';

/** The route groups, each a function of its own in the cloud. */
export const groups = [
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

/** What a request is about, read from its path; beside each the endpoints of the OCI Distribution Spec. */
export type Route =
  /** end-1 */
  | { readonly group: 'base' }
  /** OCI Distribution Spec, extensions/_oci.md, "discover": of the registry, or of a repository */
  | { readonly group: 'extensions' }
  /** Docker Registry HTTP API V2, "Listing Repositories" */
  | { readonly group: 'catalog' }
  /** Docker Registry API V1, "Ping" and "Search": all that is left of it, for `docker search` and `podman search` */
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

/** A path below `/v2/` or `/v1/`, told apart but not yet validated. */
export interface RawRoute {
  readonly group: Group;
  /** Path segments of the repository name; none for groups without a repository. */
  readonly name: readonly string[];
  /** The last segment, where it says which reference, digest, upload or resource. */
  readonly leaf: string | undefined;
}

interface Pattern {
  readonly group: Group;
  /** The first segment: v2 unless given. */
  readonly version?: 'v1';
  /** Whether a repository name of one segment or more comes first. */
  readonly named: boolean;
  /** The segments after the name. One in braces takes any value. */
  readonly tail: readonly string[];
  /** The method that clients send with a slash at the path's end, if they do. */
  readonly slash?: 'GET' | 'POST';
}

/**
 * Every route. A name may hold any of these words itself (`a/tags/list` is a repository), so a path is read from its
 * end, where at most one pattern fits; only a blob called `uploads` is ambiguous, and the literal stands first.
 */
const patterns: readonly Pattern[] = [
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
 * Tells which group a path belongs to, or undefined for none.
 * @param path as it was sent, without query
 */
export function matchPath(path: string): RawRoute | undefined {
  const [root, version, ...segments] = path.replaceAll(/%3a/gi, ':').split('/');
  if (root !== '') return undefined;
  const slash = segments.at(-1) === '';
  if (slash) segments.pop();
  const pattern = patterns.find(
    (p) => versionOf(p) === version && (p.slash !== undefined || !slash) && fits(p, segments),
  );
  if (pattern === undefined) return undefined;
  const tellsMore = pattern.group === 'search' || pattern.tail.at(-1)?.startsWith('{') === true;
  const leaf = tellsMore ? segments.at(-1) : undefined;
  return { group: pattern.group, name: segments.slice(0, segments.length - pattern.tail.length), leaf };
}

function versionOf({ version }: Pattern): string {
  return version ?? 'v2';
}

function fits({ named, tail }: Pattern, segments: readonly string[]): boolean {
  const nameLength = segments.length - tail.length;
  if (named ? nameLength < 1 : nameLength !== 0) return false;
  return tail.every((part, i) => part.startsWith('{') || part === segments[nameLength + i]);
}

/**
 * Reads a path into a validated target. It is taken as it was sent, but for the colon, which jib percent-encodes in digests:
 * nothing else that a path is made of needs that, and a proxy that lets only some paths through would be passed by
 * another spelling of the others.
 * @throws RegistryError ROUTE_UNKNOWN, NAME_INVALID, TAG_INVALID or DIGEST_INVALID
 */
export function parseRoute(path: string): Route {
  try {
    return readRoute(path);
  } catch (error) {
    throw error instanceof RegistryError && path.includes('%') ? withAdvice(error) : error;
  }
}

/** What the client can do who has percent-encoded what need not be. */
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
  if (group === 'base' || group === 'catalog') return { group };
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

/** Segments of the longest repository name that has routes of its own at the gateway. */
export const routedSegments = 4;

/** A route of the gateway. */
export interface GatewayRoute {
  readonly group: Group;
  /** `*` takes all. */
  readonly method: '*' | 'GET' | 'POST';
  /** `{...}` takes one segment. */
  readonly path: string;
}

/**
 * The gateway's routes. A gateway cannot match a variable that contains slashes, so each pattern is spelled out for
 * names of 1 to {@link routedSegments} segments; what none matches goes to the function that holds all groups. A form
 * with a slash at its end is a route of its own there. It takes but one method, since serverless-offline drops the slash
 * and refuses to have one route twice; other methods with a slash are served by the function of all groups.
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
