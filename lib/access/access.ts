import type { RepositoryName } from '../protocol/names.ts';
import type { Tag } from '../protocol/tags.ts';

/*
 * The interface of access control, without HTTP. `REGISTRY_AUTH` chooses its implementation: none, htpasswd, token or policy.
 */

/**
 * What a caller can be allowed to do in a repository.
 * - `pull`: read blobs, manifests, tags and referrers
 * - `push`: upload and mount blobs, put manifests and tags
 * - `delete`: delete blobs, manifests and tags
 * - `list`: see the repository in the catalog and in search; needs `pull` too
 */
export const actions = ['pull', 'push', 'delete', 'list'] as const;

export type Action = (typeof actions)[number];

/** Permissions in a robot's token. */
export interface Grant {
  readonly actions: readonly Action[];
  /** Repository patterns, such as `team/*` and `**`. */
  readonly repositories: readonly string[];
}

/** The sender of a request. */
export type Identity =
  | { readonly kind: 'anonymous' }
  /** A user of the htpasswd file. */
  | { readonly kind: 'user'; readonly name: string }
  /** A holder of a token made by `stowage token create`. Without grants, the policy alone decides. */
  | {
      readonly kind: 'robot';
      readonly name: string;
      readonly grants?: readonly Grant[];
      /** Seconds since 1970. */
      readonly issuedAt: number;
    }
  /** A CI job. The policy gives this name to jobs with certain claims. */
  | { readonly kind: 'ci'; readonly name: string };

/** An identity as written in policies, logs and events: `alice`, `robot:backup`, `ci:release`, `anonymous`. */
export function nameOf(identity: Identity): string {
  if (identity.kind === 'anonymous') return 'anonymous';
  return identity.kind === 'user' ? identity.name : `${identity.kind}:${identity.name}`;
}

/** Whether something is allowed. */
export interface Decision {
  /**
   * - `allow`
   * - `deny`: logging in again would not help (403)
   * - `authenticate`: the caller must log in or get another token (401)
   */
  readonly outcome: 'allow' | 'deny' | 'authenticate';
  /** The deciding rule for audit log and messages, such as `rule 3 (releases)`. */
  readonly rule?: string | undefined;
}

/** The permissions of one caller. They do no I/O: {@link AccessControl.authenticate} has loaded everything. */
export interface Caller {
  /** The name in events and the audit log; undefined for anonymous callers. */
  readonly actor: string | undefined;

  /** Decides access to `/v2/`, where clients check a login. */
  decideLogin(): Decision;

  decide(action: Action, repository: RepositoryName): Decision;

  /** Decides access to the catalog and search as such. {@link shows} filters their names. */
  decideCatalog(): Decision;

  /** Whether the caller sees a repository in lists; undefined if all are visible. */
  readonly shows: ((repository: RepositoryName) => boolean) | undefined;

  /** Tells the rule that makes a tag immutable, if any; undefined in a repository without immutable tags. */
  immutableTags(repository: RepositoryName): ((tag: Tag) => string | undefined) | undefined;
}

/** A permission that a request needs. */
export type Needed =
  | { readonly kind: 'login' }
  | { readonly kind: 'repository'; readonly repository: RepositoryName; readonly actions: readonly Action[] }
  | { readonly kind: 'catalog' };

/** The credentials of a request. */
export interface Credentials {
  /** The `Authorization` header. */
  readonly authorization: string | undefined;
  /** The client's address, for throttling. */
  readonly address: string | undefined;
  /** `scheme://host` of the request, the default host of the realm. */
  readonly origin: string;
}

/** Why credentials were refused (RFC 6750, section 3.1). */
export type ChallengeError = 'invalid_token' | 'insufficient_scope';

/** Authenticates callers. */
export interface AccessControl {
  /**
   * @throws RegistryError UNAUTHORIZED for wrong credentials, without a challenge, which the HTTP layer adds;
   *   TOO_MANY_REQUESTS, BUSY, UNAVAILABLE
   */
  authenticate(credentials: Credentials): Promise<Caller>;

  /** The `WWW-Authenticate` header of a 401 response, or undefined if there is no way to log in. */
  challenge(
    credentials: Credentials,
    needed: readonly Needed[],
    error: ChallengeError | undefined,
  ): string | undefined;

  close?(): Promise<void>;
}
