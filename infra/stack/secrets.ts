import { isHttpFunction, type FunctionName } from '../gateway.ts';
import { signingGroups } from '../../lib/http/signing-groups.ts';
import { hasWebhooks } from './events.ts';
import type { Parameters } from './parameters.ts';
import { sub, type Value } from './template.ts';
import { asking, hasUpstreams, passwordSettings } from './upstreams.ts';

/** The secrets of a stage in Secrets Manager: `stowage/<stage>/<kind>`. `htpasswd` is text, all others are JSON objects of settings. */
export type SecretKind = 'http' | 'token' | 'storage' | 'search' | 'events' | 'upstreams' | 'htpasswd';

/** The settings in each secret, with a value of their form: for checks before there is one. */
export const secretSettings: Readonly<
  Record<Exclude<SecretKind, 'htpasswd'>, Readonly<Record<string, string>>>
> = {
  http: { REGISTRY_HTTP_SECRET: 'h'.repeat(64) },
  token: { REGISTRY_AUTH_POLICY_SECRET: 't'.repeat(64) },
  storage: { REGISTRY_STORAGE_SCS_ACCESSKEY: 'key', REGISTRY_STORAGE_SCS_SECRETKEY: 'key' },
  // One for each webhook; what else they have is in the settings.
  events: {},
  // One for each upstream with a user; {@link passwordSettings} names them.
  upstreams: {},
  search: { SEARCH_BACKEND_MYSQL: 'user:password@tcp(127.0.0.1:3306)/registry' },
};

export function secretName({ stage }: Pick<Parameters, 'stage'>, kind: SecretKind): string {
  return `stowage/${stage}/${kind}`;
}

/** The ARN without the six random characters at its end, which Secrets Manager takes as well. */
export function secretArn(parameters: Pick<Parameters, 'stage'>, kind: SecretKind): Value {
  return sub(
    `arn:\${AWS::Partition}:secretsmanager:\${AWS::Region}:\${AWS::AccountId}:secret:${secretName(parameters, kind)}`,
  );
}

/** Functions that know the list of repositories: they list it, search it, or add to it. */
const searching: readonly FunctionName[] = ['catalog', 'search', 'manifests', 'all', 'reindex'];

export function usesSearch(name: FunctionName, { search }: Pick<Parameters, 'search'>): boolean {
  return search === 'mysql' && searching.includes(name);
}

/** Functions that sign, or accept what is signed. */
const signing: readonly FunctionName[] = [...signingGroups, 'all'];

/** The secrets that a function, or the data plane, reads. */
export function secretsOf(
  name: FunctionName | 'data-plane',
  parameters: Pick<Parameters, 'storage' | 'auth' | 'search' | 'settings'>,
): readonly SecretKind[] {
  const { storage, auth } = parameters;
  const asksUpstreams = name === 'data-plane' || (asking as readonly string[]).includes(name);
  const upstreams = asksUpstreams && passwordSettings(parameters).length > 0 ? (['upstreams'] as const) : [];
  if (name === 'data-plane')
    return ['http', ...(storage === 'scs' ? (['storage'] as const) : []), ...upstreams];
  const checksPasswords = auth === 'htpasswd' ? isHttpFunction(name) : auth === 'policy' && name === 'token';
  return [
    ...(signing.includes(name) || (name === 'copy' && hasUpstreams(parameters)) ? (['http'] as const) : []),
    ...(auth === 'policy' && name === 'token' ? (['token'] as const) : []),
    ...(storage === 'scs' ? (['storage'] as const) : []),
    ...(usesSearch(name, parameters) ? (['search'] as const) : []),
    ...(name === 'events' && hasWebhooks(parameters) ? (['events'] as const) : []),
    ...upstreams,
    ...(checksPasswords ? (['htpasswd'] as const) : []),
  ];
}
