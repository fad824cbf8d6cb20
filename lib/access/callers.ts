import type { AccessControl, Caller, Decision } from './access.ts';

const authenticate: Decision = { outcome: 'authenticate' };

/** A caller without credentials, where nothing is allowed without them. */
export const unauthenticated: Caller = {
  actor: undefined,
  decideLogin: () => authenticate,
  decide: () => authenticate,
  decideCatalog: () => authenticate,
  shows: () => false,
  immutableTags: () => undefined,
};

/** A caller who may do everything: anybody without access control, or an htpasswd user. */
export function unrestricted(actor: string | undefined): Caller {
  return {
    actor,
    decideLogin: () => ({ outcome: 'allow' }),
    decide: () => ({ outcome: 'allow' }),
    decideCatalog: () => ({ outcome: 'allow' }),
    shows: undefined,
    immutableTags: () => undefined,
  };
}

/** `REGISTRY_AUTH=none`: credentials are ignored. */
export const open: AccessControl = {
  authenticate: async () => await Promise.resolve(unrestricted(undefined)),
  challenge: () => undefined,
};
