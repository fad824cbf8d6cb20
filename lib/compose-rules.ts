import type { PolicySource } from './access/policy/source.ts';
import type { RulesInForce } from './access/policy/storage-rules.ts';
import { withTtl } from './access/policy/ttl-rule.ts';
import type { Config } from './config/config.ts';
import type { RepositoryName } from './protocol/names.ts';
import type { Immutable } from './registry/interface.ts';
import type { ObjectStore } from './storage/store.ts';

/** Where problems with the rules are told; each once. */
interface Reports {
  readonly onProblem?: (message: string) => void;
  readonly onLoaded?: (message: string) => void;
}

/**
 * Opens the rules for retention and quotas, in a module that loads their parser on demand. Nothing is read yet.
 * @param policies the policy that access control reads already
 * @returns undefined if the settings name none
 */
export async function openRules(
  config: Pick<Config, 'auth' | 'retention' | 'upstreams'>,
  store: ObjectStore,
  { policies, ...reports }: Reports & { readonly policies?: Pick<PolicySource, 'current'> | undefined } = {},
): Promise<RulesInForce | undefined> {
  const rules = await openFiles(config, store, { policies, ...reports });
  const ttlMs = config.upstreams.find(({ prefix }) => prefix === '')?.ttlMs;
  return ttlMs === undefined ? rules : withTtl(rules, ttlMs);
}

async function openFiles(
  { auth, retention }: Pick<Config, 'auth' | 'retention'>,
  store: ObjectStore,
  { policies, ...reports }: Reports & { readonly policies: Pick<PolicySource, 'current'> | undefined },
): Promise<RulesInForce | undefined> {
  if (policies !== undefined) return contentOf(policies);
  if (retention === undefined) return undefined;
  const { openPolicy, openStorageRules } = await import('./compose-policy-sources.ts');
  return auth.kind === 'policy'
    ? contentOf(openPolicy(store, retention, reports))
    : openStorageRules(store, retention, reports);
}

function contentOf(policies: Pick<PolicySource, 'current'>): RulesInForce {
  return { current: async () => (await policies.current()).content };
}

/**
 * The immutable tags of repositories, as the policy in the settings says now, for who changes tags without a caller.
 * @returns undefined for a repository that has none
 * @throws RegistryError UNAVAILABLE if there is no valid policy
 */
export async function immutableTagsOf(
  { auth }: Pick<Config, 'auth'>,
  store: ObjectStore,
): Promise<(name: RepositoryName) => Immutable | undefined> {
  if (auth.kind !== 'policy') return () => undefined;
  const { readImmutableTags } = await import('./compose-policy-sources.ts');
  return await readImmutableTags(store, auth);
}
