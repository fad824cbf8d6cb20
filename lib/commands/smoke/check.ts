import type { Reply } from './messages.ts';
import type { Session } from './session.ts';

/** What all checks work on. */
export interface Context {
  readonly session: Session;
  readonly repository: string;
  /** Distinguishes tags and manifests of this run. */
  readonly run: string;
  /** URLs that the registry has pointed at, by what pointed. */
  readonly pointers: Map<string, URL>;
  /** Digests of manifests that were pushed and not removed yet, by tag. */
  readonly pushed: Map<string, string>;
}

export interface Check {
  /** Stable, for machines. */
  readonly name: string;
  /** What a person reads. */
  readonly title: string;
  /** Names of checks without which this one says nothing. */
  readonly needs: readonly string[];
  /** @returns what is worth knowing @throws SmokeFailure */
  readonly run: (context: Context) => Promise<string | undefined>;
}

export const pushScope = ({ repository }: Context): string => `repository:${repository}:pull,push`;
export const pullScope = ({ repository }: Context): string => `repository:${repository}:pull`;

export function repositoryPath({ repository }: Context, rest: string): string {
  return `/v2/${repository}/${rest}`;
}

/** Where a reply points, noted for the check of https. Undefined without a Location that is a URL. */
export function locationOf(context: Context, reply: Reply): URL | undefined {
  const { location } = reply.headers;
  const url = location === undefined ? null : URL.parse(location, reply.url.href);
  if (url === null) return undefined;
  context.pointers.set(`Location of ${reply.asked}`, url);
  return url;
}
