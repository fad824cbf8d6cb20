import type { AuthConfig } from './auth.ts';
import { readPolicyLocation, type PolicyLocation } from './policy-location.ts';
import type { Settings } from './settings.ts';

const prefix = 'REGISTRY_RETENTION';

/** Where the rules for retention and quotas are; undefined if there are none. With a policy they are in it. */
export function readRetention(settings: Settings, auth: AuthConfig): PolicyLocation | undefined {
  const own = readPolicyLocation(
    settings,
    prefix,
    `set ${prefix}_PATH to the file with the rules; docs/retention.md has one to start from`,
  );
  if (auth.kind !== 'policy') return own;
  if (own !== undefined)
    settings.fault(
      `${prefix}_${own.kind === 'file' ? 'PATH' : 'OBJECT'}: with REGISTRY_AUTH=policy these rules are sections of the policy; ` +
        'move retention and quotas there, and remove it',
    );
  return auth.policy;
}
