import { PolicySource, StorageRulesSource, type PolicySourceOptions } from './access/policy/source.ts';
import type { PolicyAuthConfig } from './config/auth.ts';
import type { PolicyLocation } from './config/policy-location.ts';
import type { RepositoryName } from './protocol/names.ts';
import type { Immutable } from './registry/interface.ts';
import type { ObjectStore } from './storage/store.ts';

/**
 * The immutable tags of the policy in force, for jobs that change tags without a caller.
 * @returns what keeps a tag of a repository where it is
 * @throws RegistryError UNAVAILABLE if there is no valid policy; its cause is the reason
 */
export async function readImmutableTags(
  store: ObjectStore,
  { policy }: PolicyAuthConfig,
): Promise<(name: RepositoryName) => Immutable | undefined> {
  const current = await openPolicy(store, policy).current();
  return (name) => (current.hasImmutable(name) ? (tag) => current.immutable(name, tag) : undefined);
}

/** Opens a policy. Nothing is read yet. */
export function openPolicy(
  store: ObjectStore,
  location: PolicyLocation,
  options: PolicySourceOptions = {},
): PolicySource {
  return location.kind === 'file'
    ? PolicySource.file(location.path, options)
    : PolicySource.object(store, location.key, options);
}

/** Opens a policy that says nothing about access. Nothing is read yet. */
export function openStorageRules(
  store: ObjectStore,
  location: PolicyLocation,
  options: PolicySourceOptions = {},
): StorageRulesSource {
  return location.kind === 'file'
    ? StorageRulesSource.file(location.path, options)
    : StorageRulesSource.object(store, location.key, options);
}
