import type { Action } from '../access.ts';
import { RegistryError } from '../../protocol/errors.ts';
import { isRepositoryName, type RepositoryName } from '../../protocol/names.ts';

/*
 * Scopes of the token protocol (Docker Registry v2 authentication, "Token Scope Documentation").
 */

/** One entry of the `access` claim. */
export interface ResourceAccess {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
}

/** What a client asks for, as far as this registry knows it. */
export type Scope =
  | { readonly kind: 'repository'; readonly repository: RepositoryName; readonly actions: readonly Action[] }
  | { readonly kind: 'catalog' };

/** Scopes of one request. A token with more would not fit the gateway's 10 KB of headers. */
const maxScopes = 50;

/** Characters of all scopes of one request. */
const maxScopesLength = 4_000;

const repositoryActions = ['pull', 'push', 'delete'] as const;

/**
 * Reads scopes such as `repository:team/app:pull,push`. Those of other types, and of names that no repository can have, are left
 * out: nothing is granted for them. Scopes for the same repository become one.
 * @throws RegistryError QUERY_INVALID for too many
 */
export function parseScopes(texts: readonly string[]): readonly Scope[] {
  if (texts.length > maxScopes)
    throw new RegistryError('QUERY_INVALID', `a token may have ${maxScopes} scopes at most`);
  if (texts.join(' ').length > maxScopesLength)
    throw new RegistryError(
      'QUERY_INVALID',
      `the scopes of a token may have ${maxScopesLength} characters at most`,
    );
  const wanted = new Map<RepositoryName, Set<Action>>();
  let catalog = false;
  for (const { type, name, actions } of texts.map(parseScope)) {
    if (type === 'registry' && name === 'catalog') catalog ||= actions.includes('*');
    if (type !== 'repository' || !isRepositoryName(name)) continue;
    const known = wanted.get(name) ?? new Set();
    wanted.set(name, known);
    for (const action of repositoryActions)
      if (actions.includes(action) || actions.includes('*')) known.add(action);
  }
  const repositories = [...wanted].map(
    ([repository, actions]) => ({ kind: 'repository', repository, actions: [...actions] }) as const,
  );
  return catalog ? [...repositories, { kind: 'catalog' }] : repositories;
}

/** A name may hold a colon itself, as in `localhost:5000/app`: the type ends at the first and the actions begin after the last. */
function parseScope(text: string): ResourceAccess {
  const [first, last] = [text.indexOf(':'), text.lastIndexOf(':')];
  if (first < 0 || first === last) return { type: '', name: '', actions: [] };
  // `repository(plugin)` has a class, which says nothing about access.
  const type = text.slice(0, first).replace(/\(\w+\)$/, '');
  return { type, name: text.slice(first + 1, last), actions: text.slice(last + 1).split(',') };
}

/** A scope as it is written in challenges and responses. */
export function formatScope({ type, name, actions }: ResourceAccess): string {
  return `${type}:${name}:${actions.join(',')}`;
}

/** The entry of the `access` claim for what was granted of a scope. */
export function accessOf(scope: Scope): ResourceAccess {
  return scope.kind === 'catalog'
    ? { type: 'registry', name: 'catalog', actions: ['*'] }
    : { type: 'repository', name: scope.repository, actions: scope.actions };
}

/** Whether the `access` claim of a token covers an action. Types and names must match exactly; `*` stands for all actions. */
export function covers(
  access: readonly ResourceAccess[],
  type: string,
  name: string,
  action: string,
): boolean {
  return access.some(
    (one) =>
      one.type === type && one.name === name && (one.actions.includes(action) || one.actions.includes('*')),
  );
}

/**
 * Reads an `access` claim.
 * @returns undefined where it is none
 */
export function readAccess(claim: unknown): readonly ResourceAccess[] | undefined {
  if (claim === undefined || claim === null) return [];
  if (!Array.isArray(claim)) return undefined;
  const entries = claim.filter(isResourceAccess);
  return entries.length === claim.length ? entries : undefined;
}

function isResourceAccess(value: unknown): value is ResourceAccess {
  if (typeof value !== 'object' || value === null) return false;
  const { type, name, actions } = value as Record<string, unknown>;
  return (
    typeof type === 'string' &&
    typeof name === 'string' &&
    Array.isArray(actions) &&
    actions.every((action) => typeof action === 'string')
  );
}
